package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestList(t *testing.T) {
	dir := t.TempDir()
	data := make([]byte, sector)
	sum := sha256.Sum256(data)
	whole := slices.Concat(data, sum[:])
	for name, content := range map[string][]byte{
		at(2, 0xa, 5): whole, at(1, 0xb, 7): whole, at(3, 0xa, 9): whole[:100], "etcdctl.db": whole, "notes.txt": nil, "x" + partSuffix: whole,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Listed{
		{File: at(1, 0xb, 7), Bytes: sector + sha256.Size, Cluster: "000000000000000b", Revision: 7, SHA256: hex.EncodeToString(sum[:])},
		{File: at(2, 0xa, 5), Bytes: sector + sha256.Size, Cluster: "000000000000000a", Revision: 5, SHA256: hex.EncodeToString(sum[:])},
		{File: at(3, 0xa, 9), Cluster: "000000000000000a", Revision: 9, Damaged: "the snapshot is damaged: 100 bytes end in no checksum"},
		{File: "etcdctl.db", Bytes: sector + sha256.Size, SHA256: hex.EncodeToString(sum[:])},
	}
	for i := range want {
		want[i].File = filepath.Join(dir, want[i].File)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	if _, err := List(filepath.Join(dir, "none")); err == nil {
		t.Error("no folder, and no error")
	}
}
