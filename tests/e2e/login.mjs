// SPDX-License-Identifier: Apache-2.0
// Logs in at an OpenID provider without a browser (authorization code with PKCE, following its
// redirects with a cookie jar) and writes the result the way OpenClaw keeps it, to be imported.
//
//   node login.mjs ISSUER CLIENT_ID PROFILE[,PROFILE...] FILE
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';

const [issuer, clientId, profiles, file] = process.argv.slice(2);
const redirectUri = 'http://127.0.0.1:1/callback'; // nothing listens there: we read the redirect
const found = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();

async function step(url, cookies) {
  const answer = await fetch(url, { redirect: 'manual',
    headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') } });
  for (const line of answer.headers.getSetCookie()) {
    const [pair] = line.split(';');
    cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
  }
  const next = answer.headers.get('location');
  if (!next) throw new Error(`no redirect from ${url}: ${answer.status} ${await answer.text()}`);
  return new URL(next, url);
}

// A browser of its own, so that each login is a grant of its own.
async function login(profile) {
  const verifier = randomBytes(48).toString('base64url');
  const state = randomBytes(16).toString('base64url');
  const cookies = new Map();
  let url = new URL(found.authorization_endpoint);
  url.search = new URLSearchParams({ response_type: 'code', client_id: clientId,
    redirect_uri: redirectUri, scope: 'openid offline_access', prompt: 'consent', state,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256' });
  for (let i = 0; i < 10 && !url.href.startsWith(redirectUri); i += 1) url = await step(url, cookies);
  if (url.searchParams.get('state') !== state) throw new Error(`wrong state in ${url}`);

  const answer = await fetch(found.token_endpoint, { method: 'POST',
    body: new URLSearchParams({ grant_type: 'authorization_code', client_id: clientId,
      redirect_uri: redirectUri, code: url.searchParams.get('code'), code_verifier: verifier }) });
  const tokens = await answer.json();
  if (!tokens.refresh_token) throw new Error(`no refresh token: ${JSON.stringify(tokens)}`);
  return [profile, {
    type: 'oauth', provider: profile.split(':')[0], access: tokens.access_token,
    refresh: tokens.refresh_token, expires: Date.now() + tokens.expires_in * 1000,
    clientId, tokenEndpoint: found.token_endpoint, issuer }];
}

const entries = [];
for (const profile of profiles.split(',')) entries.push(await login(profile));
writeFileSync(file, JSON.stringify({ version: 1, profiles: Object.fromEntries(entries) }, null, 2),
  { mode: 0o600 });
