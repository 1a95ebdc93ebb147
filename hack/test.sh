#!/usr/bin/env bash
# Runs the tests of every module of the workspace. Arguments go to `go test`.
set -euo pipefail
cd "$(dirname "$0")/.."
exec go test -timeout 20m "$@" work
