#!/usr/bin/env bash
# Lints every module of the workspace, and the tools that are written here, with the pinned golangci-lint. Arguments go to `golangci-lint run`.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t modules < <(go list -m -f '{{.Dir}}')
for dir in "${modules[@]}"; do
  [ "$dir" = "$PWD/proto" ] && continue # generated code only
  (cd "$dir" && golangci-lint run --allow-parallel-runners "$@" ./...)
done
for main in hack/tools/*/main.go; do
  (cd "$(dirname "$main")" && GOWORK=off golangci-lint run --allow-parallel-runners "$@" ./...)
done
