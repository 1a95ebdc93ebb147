package format

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Identity is what a disk knows of itself, written when it was formatted: a file for people, too.
type Identity struct {
	FormatVersion int    `json:"format_version"`
	Disk          string `json:"disk"`
	Cluster       string `json:"cluster"`
	// FormattedMs is Unix milliseconds.
	FormattedMs int64 `json:"formatted_ms"`
}

const (
	crcPrefix = "crc32c:"
	// maxIdentity bounds the file: two ids of 64 bytes, even escaped, and numbers.
	maxIdentity = 4096
)

// Encode is one line of JSON and one with its CRC32C.
func (i Identity) Encode() ([]byte, error) {
	if err := i.check(); err != nil {
		return nil, err
	}
	line, err := json.Marshal(i)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return fmt.Appendf(nil, "%s\n%s%08x\n", line, crcPrefix, Checksum(line)), nil
}

func (i Identity) check() error {
	switch {
	case i.FormatVersion != Version:
		return fmt.Errorf("identity: %w %d", ErrVersion, i.FormatVersion)
	case i.Disk == "" || i.Cluster == "" || len(i.Disk) > MaxDiskID || len(i.Cluster) > MaxDiskID:
		return fmt.Errorf("identity: %w: disk %q, cluster %q", ErrForm, i.Disk, i.Cluster)
	}
	return nil
}

// ParseIdentity reads what Encode wrote.
func ParseIdentity(b []byte) (Identity, error) {
	if len(b) > maxIdentity {
		return Identity{}, fmt.Errorf("identity: %w: %d bytes", ErrForm, len(b))
	}
	line, sum, found := bytes.Cut(b, []byte("\n"))
	if !found {
		return Identity{}, fmt.Errorf("identity: %w", ErrShort)
	}
	if string(sum) != fmt.Sprintf("%s%08x\n", crcPrefix, Checksum(line)) {
		return Identity{}, fmt.Errorf("identity: %w", ErrChecksum)
	}
	var i Identity
	if err := json.Unmarshal(line, &i); err != nil {
		return Identity{}, fmt.Errorf("identity: %w: %w", ErrForm, err)
	}
	return i, i.check()
}
