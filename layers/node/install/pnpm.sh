# Install the dependencies of a folder by its pnpm-lock.yaml: `pnpm.sh NODE PNPM`. Not the pnpm that package.json names,
# which would be fetched without a digest. The notes that pnpm leaves hold the time: the same install is the same bytes.
"$@" install --prod --frozen-lockfile --store-dir /fn/tmp/pnpm \
  --config.manage-package-manager-versions=false --config.package-manager-strict=false
rm -f node_modules/.modules.yaml node_modules/.pnpm-workspace-state*.json
