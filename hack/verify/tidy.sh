#!/usr/bin/env bash
# Every go.mod is tidy.
exec "$(dirname "$0")/../tidy.sh" --diff
