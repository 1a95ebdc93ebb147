#!/usr/bin/env bash
# The shape of the house: nothing else at the top level, no file too long to be one thing, no drawer for everything.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
allowed=' .ci .gitattributes .github .gitignore .golangci.yml LICENSE Makefile README.md Tiltfile charts go.work go.work.sum hack kind proto services '
while read -r entry; do
  [[ $allowed == *" $entry "* ]] || { echo "top level: $entry does not belong here" >&2; status=1; }
done < <(git ls-files | cut -d/ -f1 | sort -u)
while read -r dir; do
  echo "$dir: a package named so collects what belongs elsewhere" >&2
  status=1
done < <(git ls-files 'services/*.go' | xargs -rn1 dirname | sort -u | grep -E '/(util|utils|common|helpers|helper|manager|misc)(/|$)' || true)
while read -r lines file; do
  echo "$file: $lines lines; split it (500 at most, tests 700)" >&2
  status=1
done < <(git ls-files 'services/*.go' | xargs -r wc -l |
  awk '$2 != "total" && $1 > ($2 ~ /_test\.go$/ ? 700 : 500) {print $1, $2}')
exit $status
