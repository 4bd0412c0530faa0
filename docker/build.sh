#!/bin/sh
# Runs inside the image's build stage, in the checkout's copy. What was built ahead (as in the package's
# tarball: prebuilds/, dist/, dependencies) is taken as it is; everything else is made here.
set -eu

if [ -f prebuilds/linux-x64-glibc/espora.node ] && [ -f dist/cli/main.js ] &&
  [ -x docker/healthcheck ] && [ -d node_modules ]; then
  echo "built ahead: nothing to compile"
else
  if ! command -v g++ >/dev/null || ! command -v make >/dev/null || ! command -v python3 >/dev/null; then
    apt-get update -q
    apt-get install -q -y --no-install-recommends g++ make python3
  fi
  npm ci --include=dev --no-audit --no-fund
  npm run build:native
  npx tsc -b contest
  mkdir -p prebuilds/linux-x64-glibc
  cp build/Release/espora.node prebuilds/linux-x64-glibc/
  g++ -x c -std=gnu11 -O2 -static -s -o docker/healthcheck docker/healthcheck.c
  npm prune --omit=dev --no-audit --no-fund
fi

mkdir -p /out/espora
cp -R package.json LICENSE dist prebuilds node_modules /out/espora/
cp docker/healthcheck /out/espora/
