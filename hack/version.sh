#!/usr/bin/env bash
# Prints the version of what is checked out: RELEASE at the tag vRELEASE, else RELEASE-dev.COMMIT, with .dirty if changed.
set -euo pipefail
release=$1
commit=$(git rev-parse --short HEAD 2>/dev/null) || { echo "$release"; exit; }
dirty=$(git status --porcelain --untracked-files=no | head -1)
if [[ -z $dirty ]] && git describe --exact-match --tags --match "v$release" >/dev/null 2>&1; then
  echo "$release"
else
  echo "$release-dev.$commit${dirty:+.dirty}"
fi
