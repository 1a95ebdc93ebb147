package head

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A value in etcd is a header of fixed width and the payload:
//
//	offset  bytes
//	0       1      format, 1
//	1       1      flags: bit 0 tombstone
//	2       16     write id, zero for rows that are written without one
//	18      8      version, big-endian
//	26             payload
//
// The header is the index's: it finds writes again and tells tombstones without knowing payloads.
const (
	valueFormat = 1
	flagDead    = 1

	valueHeader = 26
)

var errShortValue = errors.New("value is shorter than its header")

// entry is a row in memory: header and payload together as they came from etcd.
type entry struct {
	key   string
	value []byte
	mod   int64
}

func (e entry) dead() bool      { return e.value[1]&flagDead != 0 }
func (e entry) id() WriteID     { return WriteID(e.value[2:18]) }
func (e entry) version() uint64 { return binary.BigEndian.Uint64(e.value[18:valueHeader]) }
func (e entry) bytes() int64    { return int64(len(e.key) + len(e.value)) }

func (e entry) row() Row {
	return Row{Key: e.key, Payload: e.value[valueHeader:], Mod: e.mod, ID: e.id(), Version: e.version(), Dead: e.dead()}
}

// parseEntry checks what came from etcd. Errors: too short, or a format of the future.
func parseEntry(key string, value []byte, mod int64) (entry, error) {
	if len(value) < valueHeader {
		return entry{}, fmt.Errorf("row %q: %w", key, errShortValue)
	}
	if value[0] != valueFormat {
		return entry{}, fmt.Errorf("row %q: format %d is not known", key, value[0])
	}
	return entry{key: key, value: value, mod: mod}, nil
}

// appendHeader appends the header of a value.
func appendHeader(b []byte, id WriteID, version uint64, dead bool) []byte {
	flags := byte(0)
	if dead {
		flags |= flagDead
	}
	b = append(b, valueFormat, flags)
	b = append(b, id[:]...)
	return binary.BigEndian.AppendUint64(b, version)
}

// encodeValue is a whole value.
func encodeValue(id WriteID, p Put) []byte {
	b := make([]byte, 0, valueHeader+len(p.Payload))
	return append(appendHeader(b, id, p.Version, p.Dead), p.Payload...)
}

// isSystem tells the keys that are the index's own: they hold no row.
func isSystem(key string) bool {
	return key == clockKey || key == epochKey || key == compactKey
}
