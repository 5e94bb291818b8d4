#!/usr/bin/env bash
# Creates or updates .venv from a requirements file: `make-venv.sh FILE`.
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=$1
python=${PYTHON:-python3}
say() { echo "make: $*" >&2; exit 1; }

command -v "$python" >/dev/null || say "no $python here. Install Python 3.11 or newer, or run: make PYTHON=/path/to/python3 ..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  say "$("$python" --version) is too old: Python 3.11 or newer is needed. Run: make PYTHON=/path/to/python3.11 ..."
if [ ! -x .venv/bin/pip ]; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    say "this Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"
  rm -rf .venv
  "$python" -m venv .venv
fi
pip=(.venv/bin/pip --disable-pip-version-check install --quiet)
torch=$(grep '^torch==' requirements.txt)
# Without TORCH_INDEX, torch on Linux installs gigabytes of CUDA libraries.
"${pip[@]}" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$torch"
"${pip[@]}" -r "$requirements"
if [ "$requirements" = requirements-dev.txt ]; then
  "${pip[@]}" --no-deps -r requirements-dev-models.txt
fi
"${pip[@]}" --no-deps --editable .
