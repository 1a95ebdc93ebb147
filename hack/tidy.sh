#!/usr/bin/env bash
# Tidies every go.mod; with --diff it only says what would change, and fails if anything would.
set -euo pipefail
cd "$(dirname "$0")/.."
diff=${1:-}
status=0
mapfile -t modules < <(go list -m -f '{{.Dir}}'; find "$PWD/hack/tools" -name go.mod -printf '%h\n' | sort)
for dir in "${modules[@]}"; do
  (cd "$dir" && GOWORK=off go mod tidy ${diff:+-diff}) || { echo "$dir: go.mod is not tidy; run make fix" >&2; status=1; }
done
exit $status
