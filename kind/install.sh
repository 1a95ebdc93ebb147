#!/usr/bin/env bash
# Installs the chart, or upgrades it, on the cluster that kubectl talks to: namespace drystone under the restricted Pod
# Security Standard, with images of the given tag.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=$1
namespace=${NAMESPACE:-drystone}
kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
kubectl label --overwrite namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >/dev/null
.bin/helm upgrade --install drystone charts/drystone --namespace "$namespace" -f charts/drystone/values-kind.yaml \
  --set image.tag="$tag" --wait --timeout 5m
