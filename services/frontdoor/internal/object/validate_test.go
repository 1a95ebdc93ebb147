package object

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestValidateSpec(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*apiv1.PutObjectSpec)
		want   typesv1.Reason
	}{
		"plain":               {func(*apiv1.PutObjectSpec) {}, 0},
		"key of 1024 bytes":   {func(s *apiv1.PutObjectSpec) { s.Key = strings.Repeat("ä", 512) }, 0},
		"key of 1025 bytes":   {func(s *apiv1.PutObjectSpec) { s.Key = strings.Repeat("k", 1025) }, typesv1.Reason_REASON_KEY_TOO_LONG},
		"empty key":           {func(s *apiv1.PutObjectSpec) { s.Key = "" }, typesv1.Reason_REASON_INVALID_KEY},
		"key not UTF-8":       {func(s *apiv1.PutObjectSpec) { s.Key = "a\xff" }, typesv1.Reason_REASON_INVALID_KEY},
		"key with NUL":        {func(s *apiv1.PutObjectSpec) { s.Key = "a\x00b" }, typesv1.Reason_REASON_INVALID_KEY},
		"key with a newline":  {func(s *apiv1.PutObjectSpec) { s.Key = "a\nb" }, 0},
		"no size":             {func(s *apiv1.PutObjectSpec) { s.Size = nil }, 0},
		"negative size":       {func(s *apiv1.PutObjectSpec) { s.Size = proto.Int64(-1) }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"largest size":        {func(s *apiv1.PutObjectSpec) { s.Size = proto.Int64(5 << 40) }, 0},
		"too large":           {func(s *apiv1.PutObjectSpec) { s.Size = proto.Int64(5<<40 + 1) }, typesv1.Reason_REASON_OBJECT_TOO_LARGE},
		"metadata of 2048":    {func(s *apiv1.PutObjectSpec) { s.Metadata = map[string]string{"abcd": strings.Repeat("v", 2044)} }, 0},
		"metadata of 2049":    {func(s *apiv1.PutObjectSpec) { s.Metadata = map[string]string{"abcd": strings.Repeat("v", 2045)} }, typesv1.Reason_REASON_METADATA_TOO_LARGE},
		"metadata in capital": {func(s *apiv1.PutObjectSpec) { s.Metadata = map[string]string{"A": "v"} }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"metadata no name":    {func(s *apiv1.PutObjectSpec) { s.Metadata = map[string]string{"": "v"} }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"metadata newline":    {func(s *apiv1.PutObjectSpec) { s.Metadata = map[string]string{"a": "b\r\nSet-Cookie: c"} }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"metadata not UTF-8":  {func(s *apiv1.PutObjectSpec) { s.Metadata = map[string]string{"a": "\xff"} }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"metadata in Greek":   {func(s *apiv1.PutObjectSpec) { s.Metadata = map[string]string{"a": "καλημέρα"} }, 0},
		"type with a newline": {func(s *apiv1.PutObjectSpec) { s.ContentType = "text/html\r\n" }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"type too long":       {func(s *apiv1.PutObjectSpec) { s.ContentType = strings.Repeat("x", 257) }, typesv1.Reason_REASON_INVALID_ARGUMENT},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(1)}
			tc.change(spec)
			err := validateSpec(spec)
			if got := fault.Reason(err); got != tc.want {
				t.Fatalf("%v, want %v", err, tc.want)
			}
		})
	}
}

// What readers and writers of volumes say must not reach clients as if it were about objects.
func TestErrorsOfVolumes(t *testing.T) {
	for _, tc := range []struct {
		code   codes.Code
		reason typesv1.Reason
		want   codes.Code
	}{
		{codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VOLUME, codes.Unavailable},
		{codes.FailedPrecondition, typesv1.Reason_REASON_TERM_EXPIRED, codes.Unavailable},
		{codes.ResourceExhausted, typesv1.Reason_REASON_DISK_FULL, codes.Unavailable},
		{codes.NotFound, typesv1.Reason_REASON_NO_SUCH_CHUNK, codes.Unavailable},
		{codes.OutOfRange, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE, codes.Internal},
		{codes.DataLoss, typesv1.Reason_REASON_TOO_MUCH_LOST, codes.DataLoss},
		{codes.Unavailable, typesv1.Reason_REASON_NOT_ENOUGH_DISKS, codes.Unavailable},
		{codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, codes.ResourceExhausted},
		{codes.Canceled, typesv1.Reason_REASON_UNSPECIFIED, codes.Canceled},
	} {
		t.Run(tc.reason.String(), func(t *testing.T) {
			if got := fault.Code(fromVolumes(fault.New(tc.code, tc.reason, "x"))); got != tc.want {
				t.Fatalf("%v, want %v", got, tc.want)
			}
		})
	}
	if err := fromVolumes(nil); err != nil {
		t.Fatal(err)
	}
}
