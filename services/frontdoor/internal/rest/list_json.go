package rest

import (
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// The JSON of a listing is written by hand: protojson took ten times as long, and a page has a thousand objects. A
// test compares the two.

const (
	// entrySize is about what an object's fields take beside its key; a guess too low costs a copy.
	entrySize = 200
	listFrame = 64
)

// listSize guesses how long appendList's result will be.
func listSize(m *apiv1.ListObjectsResponse) int {
	n := listFrame + len(m.GetNextPageToken())
	for _, o := range m.GetObjects() {
		n += entrySize + len(o.GetKey())
	}
	for _, p := range m.GetPrefixes() {
		n += len(p) + len(`"",`)
	}
	return n
}

// appendList appends what protojson writes for m, with the lists and the token also when they are empty.
func appendList(b []byte, m *apiv1.ListObjectsResponse) []byte {
	b = append(b, `{"objects":[`...)
	for i, o := range m.GetObjects() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendObject(b, o)
	}
	b = append(b, `],"prefixes":[`...)
	for i, p := range m.GetPrefixes() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, p)
	}
	b = append(b, `],"nextPageToken":`...)
	b = appendString(b, m.GetNextPageToken())
	return append(b, '}')
}

func appendObject(b []byte, o *apiv1.Object) []byte {
	b = append(b, `{"key":`...)
	b = appendString(b, o.GetKey())
	b = append(b, `,"size":"`...)
	b = strconv.AppendInt(b, o.GetSize(), 10)
	b = append(b, `","etag":`...)
	b = appendString(b, o.GetEtag())
	b = append(b, `,"versionId":`...)
	b = appendString(b, o.GetVersionId())
	if t := o.GetLastModified(); t != nil {
		b = append(b, `,"lastModified":`...)
		b = appendTime(b, t)
	}
	if t := o.GetContentType(); t != "" {
		b = append(b, `,"contentType":`...)
		b = appendString(b, t)
	}
	if meta := o.GetMetadata(); len(meta) > 0 {
		b = append(b, `,"metadata":`...)
		b = appendMap(b, meta)
	}
	if sum := o.GetChecksumCrc64Nvme(); sum != "" {
		b = append(b, `,"checksumCrc64nvme":`...)
		b = appendString(b, sum)
	}
	return append(b, '}')
}

func appendMap(b []byte, m map[string]string) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, ':')
		b = appendString(b, m[name])
	}
	return append(b, '}')
}

// appendTime appends RFC 3339 with as many digits of a second as are needed, in threes.
func appendTime(b []byte, t *timestamppb.Timestamp) []byte {
	b = append(b, '"')
	layout := "2006-01-02T15:04:05Z"
	switch nanos := t.GetNanos(); {
	case nanos == 0:
	case nanos%1e6 == 0:
		layout = "2006-01-02T15:04:05.000Z"
	case nanos%1e3 == 0:
		layout = "2006-01-02T15:04:05.000000Z"
	default:
		layout = "2006-01-02T15:04:05.000000000Z"
	}
	b = t.AsTime().AppendFormat(b, layout)
	return append(b, '"')
}

// appendString appends a JSON string. Keys and metadata are UTF-8; a byte that is not becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	clean := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		b = append(b, s[clean:i]...)
		b = appendEscaped(b, c)
		i++
		clean = i
	}
	b = append(b, s[clean:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	if c >= utf8.RuneSelf {
		return append(b, "�"...)
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
}
