#!/usr/bin/env bash
# Generates Go and OpenAPI from proto/drystone with the pinned tools of .bin. Run by `make proto`.
set -euo pipefail
cd "$(dirname "$0")/../proto"
find gen \( -name '*.pb.go' -o -name '*.pb.gw.go' -o -name '*.swagger.json' \) -delete
buf generate
