#!/usr/bin/env bash
# Generated code is what the protos say: generate into a copy and compare.
set -euo pipefail
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/hack"
cp -r proto "$copy/"
cp hack/proto.sh "$copy/hack/"
"$copy/hack/proto.sh"
diff -r proto/gen "$copy/proto/gen" || { echo "proto/gen is not current; run make proto" >&2; exit 1; }
