#!/bin/sh
# Starts Redis with its settings and with the password from its environment: read from standard input, so that it
# is in no file and in no list of processes. Quotes and backslashes would end the quoted word, so they are escaped.
set -eu
: "${REDIS_PASSWORD:?is empty: put one into .env}"
password=$(printf '%s' "$REDIS_PASSWORD" | sed 's/[\\"]/\\&/g')
exec docker-entrypoint.sh redis-server /etc/redis/redis.conf --maxmemory "${REDIS_MAXMEMORY:-0}" - <<END
requirepass "$password"
END
