package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// sector divides the length of every etcd database, so what is over is the checksum that a snapshot ends with.
const sector = 512

// ErrDamaged means that a file is no whole snapshot.
var ErrDamaged = errors.New("the snapshot is damaged")

// Verify reads a snapshot and compares it with the SHA-256 at its end. It returns that in hex, and the file's length in
// bytes. Errors: ErrDamaged, those of reading.
func Verify(name string) (sum string, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, fmt.Errorf("verify the snapshot: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, fmt.Errorf("verify the snapshot: %w", err)
	}
	size = info.Size()
	if size%sector != sha256.Size {
		return "", 0, fmt.Errorf("%w: %d bytes end in no checksum", ErrDamaged, size)
	}
	h := sha256.New()
	if _, err := io.CopyN(h, f, size-sha256.Size); err != nil {
		return "", 0, fmt.Errorf("verify the snapshot: %w", err)
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(f, want); err != nil {
		return "", 0, fmt.Errorf("verify the snapshot: %w", err)
	}
	if got := h.Sum(nil); !bytes.Equal(got, want) {
		return "", 0, fmt.Errorf("%w: its SHA-256 is %x, and it says %x", ErrDamaged, got, want)
	}
	return hex.EncodeToString(want), size, nil
}
