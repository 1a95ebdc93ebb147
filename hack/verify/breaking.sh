#!/usr/bin/env bash
# No change of the protos breaks the wire or the JSON, compared with the commit before this branch (or this commit).
set -euo pipefail
cd "$(dirname "$0")/../../proto"
base=$(git merge-base HEAD origin/main 2>/dev/null || true)
if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
  base=$(git rev-parse --verify -q HEAD~1) || { echo "breaking: no earlier commit to compare with"; exit 0; }
fi
git cat-file -e "$base:proto/buf.yaml" 2>/dev/null || { echo "breaking: $base has no protos"; exit 0; }
buf breaking --against "../.git#ref=$base,subdir=proto"
