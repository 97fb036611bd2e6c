# Add packages to node_modules, whatever package manager made that: `provided.sh NODE NPM PACKAGE…`. What is there stays.
node=$1 npm=$2
shift 2
mkdir -p /fn/tmp/provided node_modules
"$node" "$npm" install --prefix /fn/tmp/provided --omit=dev --no-audit --no-fund --no-update-notifier --no-package-lock \
  --ignore-scripts "$@"
cd /fn/tmp/provided/node_modules
for package in * @*/*; do
  case $package in
    @*/*) mkdir -p "/fn/app/node_modules/${package%/*}" ;;
    @*) continue ;;
  esac
  [ -e "/fn/app/node_modules/$package" ] || cp -r "$package" "/fn/app/node_modules/$package"
done
