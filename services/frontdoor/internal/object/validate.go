package object

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Messages name what is wrong and the bound, never the caller's bytes: those may be megabytes, or not UTF-8.

func invalid(format string, args ...any) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, format, args...)
}

func refuse(reason typesv1.Reason, format string, args ...any) error {
	return fault.New(codes.InvalidArgument, reason, format, args...)
}

func noSuchKey() error {
	return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "there is no object of this key")
}

func noSuchVersion() error {
	return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VERSION, "the object has no such version")
}

// validateKey checks what the index and the records rely on: 1 to MaxKey bytes of UTF-8 without NUL.
func validateKey(key string) error {
	switch {
	case key == "":
		return refuse(typesv1.Reason_REASON_INVALID_KEY, "the key is empty")
	case len(key) > MaxKey:
		return refuse(typesv1.Reason_REASON_KEY_TOO_LONG, "the key has %d bytes; at most %d are allowed", len(key), MaxKey)
	case !utf8.ValidString(key):
		return refuse(typesv1.Reason_REASON_INVALID_KEY, "the key is not UTF-8")
	case strings.IndexByte(key, 0) >= 0:
		return refuse(typesv1.Reason_REASON_INVALID_KEY, "the key holds a NUL")
	}
	return nil
}

// validateSpec checks everything about an upload that can be told before its first byte.
func validateSpec(spec *apiv1.PutObjectSpec) error {
	if err := validateKey(spec.GetKey()); err != nil {
		return err
	}
	if err := validateMetadata(spec.GetMetadata()); err != nil {
		return err
	}
	if err := validateContentType(spec.GetContentType()); err != nil {
		return err
	}
	if spec.Size == nil {
		return nil
	}
	switch size := spec.GetSize(); {
	case size < 0:
		return invalid("size: it is negative")
	case size > MaxSize:
		return refuse(typesv1.Reason_REASON_OBJECT_TOO_LARGE, "the object has %d bytes; at most %d are allowed", size, int64(MaxSize))
	}
	return nil
}

// validateMetadata allows what survives as an HTTP header in both directions.
func validateMetadata(meta map[string]string) error {
	total := 0
	for name, value := range meta {
		total += len(name) + len(value)
		if !isMetadataName(name) {
			return invalid("metadata: a name is 1 or more lower-case letters, digits and the characters !#$%%&'*+-.^_`|~")
		}
		if !utf8.ValidString(value) || strings.IndexFunc(value, isControl) >= 0 {
			return invalid("metadata: a value is UTF-8 without control characters")
		}
	}
	if total > MaxMetadata {
		return refuse(typesv1.Reason_REASON_METADATA_TOO_LARGE,
			"user metadata has %d bytes, names and values together; at most %d are allowed", total, MaxMetadata)
	}
	return nil
}

func validateContentType(contentType string) error {
	if len(contentType) > MaxContentType {
		return invalid("content type: it has %d bytes; at most %d are allowed", len(contentType), MaxContentType)
	}
	for i := range len(contentType) {
		if c := contentType[i]; c < ' ' || c > '~' {
			return invalid("content type: it is printable ASCII")
		}
	}
	return nil
}

// isMetadataName says whether name is an HTTP token (RFC 9110 §5.6.2) without upper case.
func isMetadataName(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			continue
		}
		return false
	}
	return true
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// fromVolumes makes an error of readers and writers of volumes one for clients: its codes speak of chunks and of the
// map, and nobody shall read "there is no such volume" as "there is no such object".
func fromVolumes(err error) error {
	switch reason := fault.Reason(err); {
	case err == nil:
		return nil
	case reason == typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE, reason == typesv1.Reason_REASON_INVALID_SCHEME:
		return fault.Bug("a row and its volumes do not agree: %w", err)
	case reason == typesv1.Reason_REASON_TOO_MUCH_LOST:
		return err
	case reason >= typesv1.Reason_REASON_NO_SUCH_VOLUME && reason < typesv1.Reason_REASON_INTERNAL:
		return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
			"the volumes that this needs cannot be used now").WithRetryAfter(retryAfter)
	}
	return err
}
