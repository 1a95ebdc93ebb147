#!/usr/bin/env bash
# Fuzzes every Fuzz function of the workspace, one after the other, for the time given (default 20s each).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-20s}
while IFS=: read -r file _ func; do
  name=$(sed -E 's/.*func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$func")
  echo "== $(dirname "$file") $name"
  (cd "$(dirname "$file")" && go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" .)
done < <(grep -rnE '^func Fuzz[A-Z]' --include='*_test.go' services)
