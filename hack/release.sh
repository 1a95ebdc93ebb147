#!/usr/bin/env bash
# Builds what a release consists of into bin/release/RELEASE: binaries, images, the chart, bills of materials, checksums.
# It wants the tag vRELEASE checked out and nothing changed, so that anybody can build the same bytes again.
set -euo pipefail
cd "$(dirname "$0")/.."
release=$1
version=$(hack/version.sh "$release")
if [[ $version != "$release" ]]; then
  echo "release: this is $version; commit, then 'git tag v$release', or raise the version in charts/drystone/Chart.yaml" >&2
  exit 1
fi
grep -q "^## $release\$" charts/drystone/CHANGELOG.md || {
  echo "release: charts/drystone/CHANGELOG.md has no heading '## $release'" >&2
  exit 1
}
out=bin/release/$release
rm -rf "$out" bin/images bin/linux
mkdir -p "$out"
make --no-print-directory images
for archive in bin/images/*.tar; do
  gzip -n -9 <"$archive" >"$out/drystone-$(basename "$archive" .tar)-$release.image.tar.gz"
done
for bill in bin/images/*.cdx.json; do cp "$bill" "$out/drystone-$(basename "$bill" .cdx.json)-$release.cdx.json"; done
tar -C bin/linux --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" -cf - . |
  gzip -n -9 >"$out/drystone-$release-linux-$(go env GOARCH).tar.gz"
.bin/helm package charts/drystone --destination "$out" >/dev/null
cp charts/drystone/CHANGELOG.md LICENSE "$out"
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
