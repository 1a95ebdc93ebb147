package names

import (
	"encoding/binary"
	"fmt"
	"strings"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

// ETag is what clients see as a version's ETag, without quotes: the stored one, or 16 hex digits of the CRC64-NVME, 16
// of the version, and "-0", which no MD5 ends with.
func ETag(v *metadatav1.VersionRow) string {
	if e := v.GetEtag(); e != "" {
		return unquote(e)
	}
	var crc uint64
	if c := v.GetChecksum(); c.GetKind() == typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME && len(c.GetValue()) == 8 {
		crc = binary.BigEndian.Uint64(c.GetValue())
	}
	return fmt.Sprintf("%016x%016x-0", crc, v.GetVersion())
}

// unquote takes an entity-tag as it stands in a header, or bare.
func unquote(tag string) string {
	if len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		return tag[1 : len(tag)-1]
	}
	return tag
}

// anyTag is the condition value that every version matches.
const anyTag = "*"

// matchesStrong says whether an ETag is one of the tags by RFC 9110's strong comparison: weak tags match nothing.
func matchesStrong(etag string, tags []string) bool {
	for _, t := range tags {
		if t == anyTag || (!strings.HasPrefix(t, "W/") && unquote(t) == etag) {
			return true
		}
	}
	return false
}

// matchesWeak says so by the weak comparison: W/ makes no difference.
func matchesWeak(etag string, tags []string) bool {
	for _, t := range tags {
		if t == anyTag || unquote(strings.TrimPrefix(t, "W/")) == etag {
			return true
		}
	}
	return false
}
