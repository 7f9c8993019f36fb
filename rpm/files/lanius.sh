#!/bin/sh
# The command lanius. lanius-bundled brings its own Node; without it the system's runs.
node=/usr/lib/lanius/node/bin/node
[ -x "$node" ] || node=node
exec "$node" /usr/lib/lanius/bin/lanius "$@"
