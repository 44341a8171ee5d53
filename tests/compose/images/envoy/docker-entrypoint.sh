#!/bin/sh
if [ "$(id -u)" = 0 ]; then
    exec gosu envoy "$@"
fi
exec "$@"
