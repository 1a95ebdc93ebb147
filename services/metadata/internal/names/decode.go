package names

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// Field numbers of VersionRow, Extent and Checksum, as far as stored rows have them.
const (
	fieldSize         = 3
	fieldExtents      = 4
	fieldExtentList   = 5
	fieldContentType  = 6
	fieldUserMetadata = 7
	fieldChecksum     = 8
	fieldEtag         = 9
	fieldDeleteMarker = 10
	fieldUploadID     = 11
	fieldKeyID        = 12
	fieldTenant       = 13
	fieldBucketID     = 14
	fieldWriter       = 15
	fieldTerm         = 16

	fieldExtentVolume = 1
	fieldExtentOffset = 2
	fieldExtentLength = 3
	fieldExtentRun    = 4

	fieldChecksumKind  = 1
	fieldChecksumValue = 2

	fieldMapKey   = 1
	fieldMapValue = 2
)

// decoder turns rows into messages. Lists decode a thousand rows a page, so it takes the memory of what nearly every row
// has from one allocation (slot), takes strings that repeat from row to row once, and lets byte fields point into the
// payload, which nobody changes. What it does not know it leaves to package proto, row by row.
type decoder struct {
	slots []slot
	// strings seen last, by field
	contentType, keyID, tenant, writer string
}

// slot is one row's memory.
type slot struct {
	listed   metadatav1.ListedVersion
	row      metadatav1.VersionRow
	checksum typesv1.Checksum
	extent   typesv1.Extent
	extents  [1]*typesv1.Extent
	id       head.WriteID
}

func newDecoder(rows int) *decoder { return &decoder{slots: make([]slot, rows)} }

// decodeVersion is stored backwards, for one row.
func decodeVersion(row head.Row) (*metadatav1.VersionRow, error) {
	listed, err := newDecoder(1).decode(row)
	return listed.GetRow(), err
}

// decode is stored backwards. Its result has no key.
func (d *decoder) decode(row head.Row) (*metadatav1.ListedVersion, error) {
	s := &d.slots[0]
	d.slots = d.slots[1:]
	if !d.fast(s, row.Payload) {
		proto.Reset(&s.row)
		if err := proto.Unmarshal(row.Payload, &s.row); err != nil {
			return nil, fault.Bug("version row %q: %w", row.Key, err)
		}
	}
	s.id = row.ID
	s.row.WriteId, s.row.Version = s.id[:], row.Version
	s.listed.Row = &s.row
	return &s.listed, nil
}

// fast decodes what rows usually hold; false for anything else, when the slot is half filled.
func (d *decoder) fast(s *slot, b []byte) bool {
	v := &s.row
	for len(b) > 0 {
		f, n := nextField(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		var ok bool
		switch f.number {
		case fieldSize:
			v.Size, ok = f.varint, f.kind == protowire.VarintType
		case fieldExtents:
			ok = s.addExtent(f)
		case fieldExtentList:
			ok = v.GetExtentList() == nil
			v.ExtentList = &typesv1.Extent{}
			ok = ok && decodeExtent(v.GetExtentList(), f)
		case fieldContentType:
			v.ContentType, ok = f.text(&d.contentType)
		case fieldUserMetadata:
			ok = addMetadata(v, f)
		case fieldChecksum:
			ok = s.addChecksum(f)
		case fieldEtag:
			v.Etag, ok = f.text(nil)
		case fieldDeleteMarker:
			v.DeleteMarker, ok = f.varint != 0, f.kind == protowire.VarintType
		case fieldUploadID:
			v.UploadId, ok = f.bytes, f.kind == protowire.BytesType
		case fieldKeyID:
			v.KeyId, ok = f.text(&d.keyID)
		case fieldTenant:
			v.Tenant, ok = f.text(&d.tenant)
		case fieldBucketID:
			v.BucketId, ok = f.varint, f.kind == protowire.Fixed64Type
		case fieldWriter:
			v.Writer, ok = f.text(&d.writer)
		case fieldTerm:
			v.Term, ok = f.varint, f.kind == protowire.VarintType
		default:
			return false
		}
		if !ok {
			return false
		}
	}
	return true
}

// field is one field off the wire.
type field struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64 // varint and fixed64
	bytes  []byte
}

// nextField reads a field and its length on the wire, negative if it is malformed or of a kind that no row has.
func nextField(b []byte) (f field, n int) {
	var tag int
	f.number, f.kind, tag = protowire.ConsumeTag(b)
	if tag < 0 {
		return f, tag
	}
	switch f.kind {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(b[tag:])
	case protowire.Fixed64Type:
		f.varint, n = protowire.ConsumeFixed64(b[tag:])
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b[tag:])
		f.bytes = f.bytes[:len(f.bytes):len(f.bytes)]
	default:
		return f, -1
	}
	if n < 0 {
		return f, n
	}
	return f, tag + n
}

// text is a string field; if it equals the last one, it is that.
func (f field) text(last *string) (string, bool) {
	if f.kind != protowire.BytesType {
		return "", false
	}
	if last == nil {
		return string(f.bytes), true
	}
	if *last != string(f.bytes) {
		*last = string(f.bytes)
	}
	return *last, true
}

func (s *slot) addExtent(f field) bool {
	if len(s.row.GetExtents()) > 0 {
		e := &typesv1.Extent{}
		s.row.Extents = append(s.row.Extents, e)
		return decodeExtent(e, f)
	}
	s.extents[0] = &s.extent
	s.row.Extents = s.extents[:]
	return decodeExtent(&s.extent, f)
}

func decodeExtent(e *typesv1.Extent, f field) bool {
	if f.kind != protowire.BytesType {
		return false
	}
	for b := f.bytes; len(b) > 0; {
		f, n := nextField(b)
		if n < 0 || f.kind != protowire.VarintType {
			return false
		}
		b = b[n:]
		switch f.number {
		case fieldExtentVolume:
			e.Volume = f.varint
		case fieldExtentOffset:
			e.Offset = f.varint
		case fieldExtentLength:
			e.Length = f.varint
		case fieldExtentRun:
			e.Run = uint32(f.varint)
		default:
			return false
		}
	}
	return true
}

func (s *slot) addChecksum(f field) bool {
	if f.kind != protowire.BytesType || s.row.GetChecksum() != nil {
		return false
	}
	s.row.Checksum = &s.checksum
	for b := f.bytes; len(b) > 0; {
		f, n := nextField(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch {
		case f.number == fieldChecksumKind && f.kind == protowire.VarintType:
			s.checksum.Kind = typesv1.ChecksumKind(f.varint)
		case f.number == fieldChecksumValue && f.kind == protowire.BytesType:
			s.checksum.Value = f.bytes
		default:
			return false
		}
	}
	return true
}

func addMetadata(v *metadatav1.VersionRow, f field) bool {
	if f.kind != protowire.BytesType {
		return false
	}
	var key, value string
	for b := f.bytes; len(b) > 0; {
		f, n := nextField(b)
		if n < 0 || f.kind != protowire.BytesType {
			return false
		}
		b = b[n:]
		switch f.number {
		case fieldMapKey:
			key = string(f.bytes)
		case fieldMapValue:
			value = string(f.bytes)
		default:
			return false
		}
	}
	if v.UserMetadata == nil {
		v.UserMetadata = make(map[string]string, 1)
	}
	v.UserMetadata[key] = value
	return true
}
