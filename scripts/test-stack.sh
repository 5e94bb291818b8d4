#!/usr/bin/env bash
# Tests the stack with a real container engine; prints SKIP if there is none.
# `test-stack.sh [PYTEST ARGUMENT...]`.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! docker info >/dev/null 2>&1 || ! docker compose version >/dev/null 2>&1; then
  echo "SKIP: no container engine"
  exit 0
fi
exec .venv/bin/python -m pytest -m stack tests/stack "$@"
