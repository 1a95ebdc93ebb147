#!/usr/bin/env bash
# Lints every module of the workspace with the pinned golangci-lint. Arguments go to `golangci-lint run`.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t modules < <(go list -m -f '{{.Dir}}')
for dir in "${modules[@]}"; do
  [ "$dir" = "$PWD/proto" ] && continue # generated code only
  (cd "$dir" && golangci-lint run --allow-parallel-runners "$@" ./...)
done
