#!/bin/sh
# Nothing of the caller's Python decides what a meter runs: -P keeps the present folder out, -s the user's packages.
# The second place is the administrator's, for what Debian does not have: pip install --target /usr/local/lib/tresma uldaq
export PYTHONPATH=/usr/lib/tresma:/usr/local/lib/tresma
export PYTHONDONTWRITEBYTECODE=1
# What root types is about the service's own folder; the commissioning page has one of its own.
case "$(id -u) ${1:-}" in
    "0 commission") ;;
    "0 "*) export STATE_DIRECTORY="${STATE_DIRECTORY:-/var/lib/tresma}" ;;
esac
exec /usr/bin/python3 -P -s -m agent "$@"
