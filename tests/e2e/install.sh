#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the peers of package-lock.json into a folder, once for each lock file. Exits 77 with the
# reason where that cannot be.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
for program in node npm; do
    command -v "$program" >/dev/null || { echo "skipped: $program is not there"; exit 77; }
done
stamp=$folder/node_modules/.queenright-lock
cmp -s "$here/package-lock.json" "$stamp" && { echo "the peers are in place"; exit 0; }
mkdir -p "$folder"
cp "$here/package.json" "$here/package-lock.json" "$folder/"
cd "$folder"
if ! npm ci --no-audit --no-fund >install.log 2>&1; then
    tail -n 5 install.log
    echo "skipped: npm could not install the peers"
    exit 77
fi
cp package-lock.json "$stamp"
