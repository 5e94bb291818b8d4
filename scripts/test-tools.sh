#!/usr/bin/env bash
# Checks that the programs that tests start are installed; installs them if it can.
set -euo pipefail
packages=()
need() { # COMMAND DEBIAN-PACKAGE
  command -v "$1" >/dev/null || packages+=("$2")
}
need curl curl
need redis-server redis-server
need promtool prometheus
PATH=$PATH:/usr/sbin need nginx nginx-light
need_browser() {
  local name
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && return
  done
  [ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ] || packages+=(chromium)
}
need_browser
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "make: installing ${packages[*]}" >&2
  apt-get update -qq
  # Tests start their own servers on free ports; the packages must not start theirs.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
else
  echo "make: tests need these programs: ${packages[*]}" >&2
  echo "make: Debian, Ubuntu: sudo apt install ${packages[*]}" >&2
  echo "make: macOS: brew install curl redis prometheus nginx, and Google Chrome or brew install chromium" >&2
  exit 1
fi
