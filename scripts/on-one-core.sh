#!/usr/bin/env bash
# Runs a command on the first core that this process may use: `on-one-core.sh COMMAND ...`.
set -euo pipefail
allowed=$(taskset --cpu-list --pid $$)
exec taskset --cpu-list "$(sed 's/.*: //; s/[,-].*//' <<<"$allowed")" "$@"
