// Package object is the front-door's domain: it stores, reads, describes, removes and lists objects. It knows no
// protocol: servers hand it proto messages of the public API and get rows back.
package object

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

const (
	// SmallObject is the largest object that is gathered whole and packed with others: beyond it a stripe of its
	// own costs less than the wait for company.
	SmallObject = 256 << 10
	// MaxSize of an object in bytes: S3's bound, so that what is stored here can move there.
	MaxSize = 5 << 40
	// MaxKey is the longest key in bytes: S3's bound.
	MaxKey = 1024
	// MaxMetadata is the most that names and values of user metadata may have together, in bytes: S3's bound. Rows
	// live in etcd.
	MaxMetadata = 2048
	// MaxContentType in bytes: longer than any registered type with parameters; it is part of the row.
	MaxContentType = 256
	// DefaultContentType is what an object has whose writer named none.
	DefaultContentType = "application/octet-stream"
	// MaxPage is how many entries a page of a listing has at most, and if nothing else is asked for.
	MaxPage = 1000

	// A version is 44 bits of unix milliseconds, 12 bits of a logical clock and 8 bits of the region.
	versionTimeShift = 20
	versionDigits    = 16
	crc64Size        = 8
)

// Object is one version of a key, as its row tells it.
type Object struct {
	// Key is exact: opaque UTF-8.
	Key string
	// Row is shared with caches: nobody changes it.
	Row *metadatav1.VersionRow
}

// Size in bytes.
func (o Object) Size() int64 { return int64(o.Row.GetSize()) }

// VersionID is the version as the API writes it: 16 lower-case hex digits.
func (o Object) VersionID() string { return string(appendHex(nil, o.Row.GetVersion())) }

// ETag is quoted, as in the HTTP header: what the row names, else `"<CRC64-NVME><version>-0"` in hex. Two versions
// of the same bytes differ in it.
func (o Object) ETag() string {
	if tag := o.Row.GetEtag(); tag != "" {
		if tag[0] == '"' {
			return tag
		}
		return strconv.Quote(tag)
	}
	b := make([]byte, 0, 2*versionDigits+len(`"-0"`))
	b = append(b, '"')
	b = appendHex(b, o.crc64())
	b = appendHex(b, o.Row.GetVersion())
	return string(append(b, `-0"`...))
}

// Modified is when the version was committed, to the millisecond.
func (o Object) Modified() time.Time {
	return time.UnixMilli(int64(o.Row.GetVersion() >> versionTimeShift)).UTC()
}

// ContentType is never empty.
func (o Object) ContentType() string {
	if t := o.Row.GetContentType(); t != "" {
		return t
	}
	return DefaultContentType
}

// Checksum is the CRC64-NVME of the whole object as the API writes it, base64 of 8 big-endian bytes; empty when the
// row has a checksum of another kind.
func (o Object) Checksum() string {
	if o.Row.GetChecksum().GetKind() != typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME {
		return ""
	}
	return base64.StdEncoding.EncodeToString(o.Row.GetChecksum().GetValue())
}

func (o Object) crc64() uint64 {
	value := o.Row.GetChecksum().GetValue()
	if o.Row.GetChecksum().GetKind() != typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME || len(value) != crc64Size {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// appendHex appends the 16 lower-case hex digits of v.
func appendHex(dst []byte, v uint64) []byte {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], v)
	return hex.AppendEncode(dst, raw[:])
}

// parseVersionID reads what VersionID writes; empty is 0, the current version.
func parseVersionID(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	if len(s) != versionDigits || strings.ToLower(s) != s {
		return 0, invalid("version id: it has 16 lower-case hex digits")
	}
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, invalid("version id: it has 16 lower-case hex digits")
	}
	if v == 0 {
		return 0, noSuchVersion()
	}
	return v, nil
}
