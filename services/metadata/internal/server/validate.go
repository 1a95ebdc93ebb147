package server

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Bounds of requests. Those of keys and metadata are the API's; the others follow from what a row may cost the head.
const (
	maxMutations   = 1024
	maxPage        = 1000
	maxKeyBytes    = 1024
	maxNameBytes   = 63  // buckets: S3's bound
	maxTenantBytes = 255 // also schemes' and writers'
	writeIDBytes   = 16
	maxExtents     = 64 // above, the list is itself a record
	// maxRowBytes is several times what the other bounds allow; 18 such rows still fit a transaction.
	maxRowBytes = 64 << 10
)

func invalid(format string, args ...any) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, format, args...)
}

// checkBucket refuses what cannot be a bucket's name. S3's rules in full are the front-door's matter.
func checkBucket(name string) error {
	if name == "" || len(name) > maxNameBytes || !isText(name) {
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_BUCKET_NAME, "%q is no bucket name", name)
	}
	return nil
}

func checkKey(key string) error {
	if len(key) > maxKeyBytes {
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_KEY_TOO_LONG, "the key has %d bytes, at most %d may be", len(key), maxKeyBytes)
	}
	if key == "" || !isText(key) {
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_KEY, "the key is empty, not UTF-8 or holds a NUL")
	}
	return nil
}

// checkName refuses what cannot name a tenant, a writer or a scheme.
func checkName(what, name string) error {
	if name == "" || len(name) > maxTenantBytes || !isText(name) {
		return invalid("%s: %q is empty, over %d bytes, not UTF-8 or holds a NUL", what, name, maxTenantBytes)
	}
	return nil
}

// checkText refuses what a message of strings cannot carry or a key cannot begin with; empty is fine.
func checkText(what, s string) error {
	if len(s) > maxKeyBytes || !isText(s) {
		return invalid("%s is over %d bytes, not UTF-8 or holds a NUL", what, maxKeyBytes)
	}
	return nil
}

func checkLimit(limit int32) error {
	if limit < 1 || limit > maxPage {
		return invalid("limit %d is not within 1 and %d", limit, maxPage)
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// checkMutation refuses a mutation that no state could take.
func checkMutation(m *metadatav1.Mutation) error {
	if err := checkBucket(m.GetBucket()); err != nil {
		return err
	}
	if err := checkKey(m.GetKey()); err != nil {
		return err
	}
	row := m.GetRow()
	switch {
	case len(row.GetWriteId()) != writeIDBytes:
		return invalid("the write id has %d bytes, not %d", len(row.GetWriteId()), writeIDBytes)
	case len(row.GetExtents()) > maxExtents:
		return invalid("%d extents, at most %d may be; longer lists are records", len(row.GetExtents()), maxExtents)
	case m.GetSince() < 0:
		return invalid("since is negative")
	case row.GetDeleteMarker() && hasExtents(row):
		return invalid("a delete has no extents")
	case proto.Size(row) > maxRowBytes:
		return invalid("the version has over %d bytes", maxRowBytes)
	}
	return checkTerm(m)
}

// checkTerm makes sure that whatever names bytes can be fenced.
func checkTerm(m *metadatav1.Mutation) error {
	if !hasExtents(m.GetRow()) {
		return nil
	}
	if m.GetOldestTerm() == 0 || m.GetOldestTerm() == 1<<64-1 {
		return invalid("a version with extents needs their oldest term")
	}
	return checkName("writer", m.GetRow().GetWriter())
}

func hasExtents(r *metadatav1.VersionRow) bool {
	return len(r.GetExtents()) > 0 || r.GetExtentList() != nil
}
