#!/usr/bin/env bash
# Loads bin/images/*.tar into every node of a kind cluster.
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=$1
command -v kind >/dev/null || { echo "kind is missing: https://kind.sigs.k8s.io/docs/user/quick-start/#installation" >&2; exit 1; }
# Pods run on workers, unless there are none.
workers=$(kind get nodes --name "$cluster" | grep -v control-plane | paste -sd, || true)
for archive in bin/images/*.tar; do
  kind load image-archive "$archive" --name "$cluster" ${workers:+--nodes "$workers"}
done
echo "loaded $(ls bin/images/*.tar | wc -l) images into kind cluster $cluster"
