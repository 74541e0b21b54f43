#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One turn of the Codex CLI (npm @openai/codex 0.169.0) against a model server, with a bearer that
# a command prints:
#
#   CODEX_HOME=DIR E2E_MODULES=DIR codex.sh BASE_URL PROMPT COMMAND [ARGUMENT...]
#
# The answer alone comes on stdout, everything else on stderr; the exit status is Codex's.
#
# What Codex needs, found by trial: a provider of its own with wire_api "responses" and an `auth`
# command. It runs the command before its first request, again when the printed token is older than
# refresh_interval_ms, and once more, at once, after a 401. It asks GET /models first and wants
# {"models": [...]} there; an empty list is fine. Left alone it also looks up hosts outside for its
# plugin catalogue and its update check: the features below keep it on loopback.
# The command inherits the environment.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: codex.sh BASE_URL PROMPT COMMAND [ARGUMENT...]" >&2; exit 64; }
base_url=$1 prompt=$2 command=$3
shift 3

toml() { # a TOML string
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}
arguments=
for argument; do arguments+="$(toml "$argument"), "; done

cat > "$CODEX_HOME/config.toml" <<TOML
model = "practice-1"
model_provider = "e2e"
check_for_update_on_startup = false

[analytics]
enabled = false

[features]
plugins = false
apps = false
remote_plugin = false
shell_snapshot = false

[model_providers.e2e]
name = "e2e"
base_url = $(toml "$base_url")
wire_api = "responses"

[model_providers.e2e.auth]
command = $(toml "$command")
args = [$arguments]
timeout_ms = 15000
refresh_interval_ms = ${CODEX_TOKEN_INTERVAL_MS:-1000}
TOML

work=$(mktemp -d "$CODEX_HOME/work-XXXXXX")
cd "$work"
exec "$E2E_MODULES/node_modules/.bin/codex" exec --skip-git-repo-check --strict-config \
    --sandbox read-only "$prompt" </dev/null
