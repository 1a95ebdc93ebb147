#!/usr/bin/env bash
# Makes a kind cluster with a worker in each of three zones. Needs kind and Docker (or Podman).
set -euo pipefail
cluster=$1
command -v kind >/dev/null || { echo "kind is missing: https://kind.sigs.k8s.io/docs/user/quick-start/#installation" >&2; exit 1; }
if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
  echo "kind cluster $cluster is there"
else
  kind create cluster --name "$cluster" --config "$(dirname "$0")/${KIND_CONFIG:-three-zones.yaml}" --wait 180s
fi
