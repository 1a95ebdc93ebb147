package object

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // clients send it as a check of transport, not as proof
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"slices"

	"github.com/minio/crc64nvme"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// maxChecksums bounds what a client may ask us to compute: one of each kind, twice over.
const maxChecksums = 12

// summer computes the checksums of an upload as it passes: CRC64-NVME always, and what the client sent.
type summer struct {
	crc    uint64
	size   int64
	hashes map[typesv1.ChecksumKind]hash.Hash
	wanted []*typesv1.Checksum
	// announced kinds come in the trailer.
	announced []typesv1.ChecksumKind
}

// newSummer prepares for the checksums of a spec. One without a value announces that its kind comes in the trailer.
func newSummer(checksums []*typesv1.Checksum) (*summer, error) {
	if len(checksums) > maxChecksums {
		return nil, invalid("checksums: there are %d; at most %d are allowed", len(checksums), maxChecksums)
	}
	s := &summer{}
	for _, c := range checksums {
		if len(c.GetValue()) == 0 {
			s.announced = append(s.announced, c.GetKind())
		} else {
			s.wanted = append(s.wanted, c)
		}
		if err := s.prepare(c.GetKind()); err != nil {
			return nil, err
		}
		if err := checkWidth(c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *summer) prepare(kind typesv1.ChecksumKind) error {
	var h hash.Hash
	switch kind {
	case typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME:
		return nil // Always computed.
	case typesv1.ChecksumKind_CHECKSUM_KIND_CRC32C:
		h = crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case typesv1.ChecksumKind_CHECKSUM_KIND_CRC32:
		h = crc32.NewIEEE()
	case typesv1.ChecksumKind_CHECKSUM_KIND_SHA1:
		h = sha1.New() //nolint:gosec // a check of transport
	case typesv1.ChecksumKind_CHECKSUM_KIND_SHA256:
		h = sha256.New()
	case typesv1.ChecksumKind_CHECKSUM_KIND_MD5:
		h = md5.New() //nolint:gosec // a check of transport
	case typesv1.ChecksumKind_CHECKSUM_KIND_UNSPECIFIED:
		return invalid("checksums: one has no kind")
	default:
		return invalid("checksums: kind %d is not known", int32(kind))
	}
	if s.hashes == nil {
		s.hashes = make(map[typesv1.ChecksumKind]hash.Hash, 1)
	}
	s.hashes[kind] = h
	return nil
}

// add takes the next bytes.
func (s *summer) add(p []byte) {
	s.size += int64(len(p))
	s.crc = crc64nvme.Update(s.crc, p)
	for _, h := range s.hashes {
		_, _ = h.Write(p) // A hash never fails.
	}
}

// verify compares what passed with the checksums of the spec and of the trailer. Errors: BAD_CHECKSUM;
// INVALID_ARGUMENT for a trailer that does not bring what was announced, or something else.
func (s *summer) verify(trailer []*typesv1.Checksum) error {
	for _, kind := range s.announced {
		if !slices.ContainsFunc(trailer, func(c *typesv1.Checksum) bool { return c.GetKind() == kind }) {
			return invalid("checksums: %s was announced and did not come", kindName(kind))
		}
	}
	for _, c := range trailer {
		if len(c.GetValue()) == 0 {
			return invalid("checksums: %s in the trailer has no value", kindName(c.GetKind()))
		}
		if err := checkWidth(c); err != nil {
			return err
		}
	}
	for _, c := range slices.Concat(s.wanted, trailer) {
		got, ok := s.sum(c.GetKind())
		if !ok {
			return invalid("checksums: the trailer brought %s, which was not announced", kindName(c.GetKind()))
		}
		if !bytes.Equal(got, c.GetValue()) {
			return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_BAD_CHECKSUM,
				"the bytes do not have the %s checksum that was sent", kindName(c.GetKind()))
		}
	}
	return nil
}

func (s *summer) sum(kind typesv1.ChecksumKind) ([]byte, bool) {
	if kind == typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME {
		return binary.BigEndian.AppendUint64(nil, s.crc), true
	}
	h, ok := s.hashes[kind]
	if !ok {
		return nil, false
	}
	return h.Sum(nil), true
}

// checksum is what the row keeps.
func (s *summer) checksum() *typesv1.Checksum {
	return &typesv1.Checksum{
		Kind:  typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME,
		Value: binary.BigEndian.AppendUint64(nil, s.crc),
	}
}

func checkWidth(c *typesv1.Checksum) error {
	want := 0
	switch c.GetKind() {
	case typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME:
		want = crc64Size
	case typesv1.ChecksumKind_CHECKSUM_KIND_CRC32C, typesv1.ChecksumKind_CHECKSUM_KIND_CRC32:
		want = crc32.Size
	case typesv1.ChecksumKind_CHECKSUM_KIND_SHA1:
		want = sha1.Size
	case typesv1.ChecksumKind_CHECKSUM_KIND_SHA256:
		want = sha256.Size
	case typesv1.ChecksumKind_CHECKSUM_KIND_MD5:
		want = md5.Size
	case typesv1.ChecksumKind_CHECKSUM_KIND_UNSPECIFIED:
		return invalid("checksums: one has no kind")
	}
	if n := len(c.GetValue()); n != 0 && n != want {
		return invalid("checksums: %s has %d bytes; it needs %d", kindName(c.GetKind()), n, want)
	}
	return nil
}

func kindName(kind typesv1.ChecksumKind) string {
	switch kind {
	case typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME:
		return "CRC64-NVME"
	case typesv1.ChecksumKind_CHECKSUM_KIND_CRC32C:
		return "CRC32C"
	case typesv1.ChecksumKind_CHECKSUM_KIND_CRC32:
		return "CRC32"
	case typesv1.ChecksumKind_CHECKSUM_KIND_SHA1:
		return "SHA-1"
	case typesv1.ChecksumKind_CHECKSUM_KIND_SHA256:
		return "SHA-256"
	case typesv1.ChecksumKind_CHECKSUM_KIND_MD5:
		return "MD5"
	case typesv1.ChecksumKind_CHECKSUM_KIND_UNSPECIFIED:
	}
	return "unknown"
}
