#!/usr/bin/env bash
# Rewrites golden files: runs the tests of the packages that know -update with it.
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rlE 'flag\.Bool\("update"' --include='*_test.go' services | xargs -rn1 dirname | sort -u | while read -r dir; do
  (cd "$dir" && go test . -update)
done
