// SPDX-License-Identifier: Apache-2.0
// A certified OAuth server (npm oidc-provider) as the end-to-end tests need it: refresh tokens
// rotate at each use, its own reuse detection is left as it is (a reuse ends the whole grant),
// access tokens are short-lived, login and consent approve themselves, and it counts.
//
//   node oidc.mjs [--access-ttl S] [--delay-ms N] [--model URL]
//
// Prints one line {"port", "issuer", "client_id"} when it serves. GET /stats has the counters.
// With --model, /v1/* is passed on to that model server for bearers it knows itself, and answered
// 401 for others, so that a stale token shows as it would at a real provider.
import { createRequire } from 'node:module';
import { createServer, request as httpRequest } from 'node:http';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

// The packages lie in the build directory, not beside this file.
const modules = createRequire(join(process.env.E2E_MODULES ?? process.cwd(), 'package.json'));
const { Provider } = await import(pathToFileURL(modules.resolve('oidc-provider')));

const options = { 'access-ttl': '3', 'delay-ms': '0', model: '' };
for (let i = 2; i + 1 < process.argv.length; i += 2) options[process.argv[i].slice(2)] = process.argv[i + 1];

const clientId = 'queenright-e2e';
const stats = {
  token_requests: 0, grants: {}, errors: {}, rotations: 0, reused: 0, grants_revoked: 0,
  overlapping: 0, model_calls: 0, model_401: 0,
};
const count = (map, key) => { map[key] = (map[key] ?? 0) + 1; };

function configuration() {
  return {
    clients: [{
      client_id: clientId, application_type: 'native', token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/callback'],
    }],
    scopes: ['openid', 'offline_access'],
    features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    issueRefreshToken: () => true,
    rotateRefreshToken: () => true,
    pkce: { required: () => true },
    ttl: {
      AccessToken: Number(options['access-ttl']), RefreshToken: 86400, AuthorizationCode: 60,
      Grant: 86400, Session: 86400, Interaction: 600, IdToken: 3600,
    },
    cookies: { keys: ['practice'] },
    jwks: undefined,
  };
}

async function approve(provider, req, res) {
  const details = await provider.interactionDetails(req, res);
  const { prompt, params, session } = details;
  if (prompt.name === 'login') {
    await provider.interactionFinished(req, res, { login: { accountId: 'practice-account' } });
    return;
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid offline_access');
  await provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } },
    { mergeWithLastSubmission: true });
}

function answer(res, status, body) {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify(body));
}

async function passOn(provider, req, res) {
  const bearer = /^Bearer (.+)$/i.exec(req.headers.authorization ?? '')?.[1];
  const token = bearer ? await provider.AccessToken.find(bearer) : undefined;
  stats.model_calls += req.method === 'POST' ? 1 : 0;
  if (!token?.isValid) {
    stats.model_401 += 1;
    answer(res, 401, { error: { code: 'token_expired', message: 'practice: no valid access token',
      type: 'invalid_request_error' } });
    return;
  }
  const target = new URL(req.url, options.model);
  const headers = { ...req.headers, host: target.host };
  delete headers.connection;
  const upstream = httpRequest(target, { method: req.method, headers, agent: false }, (from) => {
    res.writeHead(from.statusCode, from.headers);
    from.pipe(res);
  });
  upstream.on('error', () => { if (res.headersSent) res.destroy(); else answer(res, 502, {}); });
  res.on('close', () => upstream.destroy());
  req.pipe(upstream);
}

// The counters see what the library decided, not what was asked.
function watch(provider) {
  provider.on('grant.success', (ctx) => {
    count(stats.grants, ctx.oidc.params.grant_type);
    if (ctx.oidc.params.grant_type === 'refresh_token') stats.rotations += 1;
  });
  provider.on('grant.error', (ctx, error) => {
    count(stats.errors, error.error);
    if (/already used/.test(error.error_detail ?? '')) stats.reused += 1;
  });
  provider.on('grant.revoked', () => { stats.grants_revoked += 1; });
  const open = new Map(); // answers held back, by grant: two for one grant have two owners
  provider.use(async (ctx, next) => {
    if (ctx.path !== '/token') { await next(); return; }
    stats.token_requests += 1;
    await next();
    const grant = ctx.oidc?.entities?.RefreshToken?.grantId;
    if (grant && (open.get(grant) ?? 0) > 0) stats.overlapping += 1;
    open.set(grant, (open.get(grant) ?? 0) + 1);
    await new Promise((resolve) => { setTimeout(resolve, Number(options['delay-ms'])); });
    if (open.get(grant) > 1) open.set(grant, open.get(grant) - 1); else open.delete(grant);
  });
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, configuration());
  watch(provider);
  const handle = provider.callback();
  server.on('request', (req, res) => {
    const fail = (error) => { console.error(error); answer(res, 500, { error: String(error) }); };
    if (req.url === '/stats') answer(res, 200, stats);
    else if (req.url.startsWith('/interaction/')) approve(provider, req, res).catch(fail);
    else if (req.url.startsWith('/v1/') && options.model) passOn(provider, req, res).catch(fail);
    else handle(req, res);
  });
  console.log(JSON.stringify({ port, issuer, client_id: clientId }));
});
