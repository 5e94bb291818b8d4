#!/usr/bin/env bash
# Builds and starts the stack, waits until it is healthy, and prints how to use it.
# `stack-up.sh [SERVICE...]`; without names, all services.
set -euo pipefail
cd "$(dirname "$0")/.."
docker info >/dev/null 2>&1 || { echo "make: no container engine answers. \`make run\` needs none." >&2; exit 1; }
# Build all images, even if only some services are started.
docker compose build
docker compose up --detach --wait "$@"

published() { # SERVICE PORT
  docker compose port "$1" "$2" 2>/dev/null || true
}
dashboard=$(published dashboard 8080)
api=$(published dashboard 8000)
grafana=$(published grafana 3000)
cat <<TEXT

  Dashboard  http://$dashboard/
  API        http://$api/v1
${grafana:+  Grafana    http://$grafana/
}
  make key   shows the key and Grafana's password
  make logs  follows the logs
  make down  stops everything and keeps all data
TEXT
