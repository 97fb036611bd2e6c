# Install the dependencies of a folder by its yarn.lock, less those for development: `yarn4.sh NODE YARN`. Only Yarn 4's
# `focus` leaves the latter out, and only `install`, of the Yarn that wrote the file, refuses one that is out of date.
"$@" install --immutable --mode=skip-build
exec "$1" /fn/tools/yarn4/bin/yarn.js workspaces focus --all --production
