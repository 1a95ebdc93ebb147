package object_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestPutOfEverySize(t *testing.T) {
	const border = object.SmallObject
	for _, size := range []int{0, 1, 4096, border - 1, border, border + 1, 3*border + 17} {
		for _, known := range []bool{true, false} {
			for _, piece := range []int{1000, border, 1 << 20} {
				f := newFixture(t)
				data := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
				spec := &apiv1.PutObjectSpec{Bucket: "b", Key: "k"}
				if known {
					spec.Size = proto.Int64(int64(size))
				}
				o, err := f.service.Put(f.ctx, spec, &body{pieces: pieces(data, piece)})
				if err != nil {
					t.Fatalf("size %d, known %v, pieces of %d: %v", size, known, piece, err)
				}
				if o.Size() != int64(size) || !bytes.Equal(f.read(t, "k"), data) {
					t.Fatalf("size %d, known %v, pieces of %d: it came back changed", size, known, piece)
				}
				if packed := f.volumes.Headers()[0].GetChecksum() != nil; packed != (size <= border) {
					t.Fatalf("size %d, known %v: packed %v", size, known, packed)
				}
			}
		}
	}
}

// TestPutFromASource: bytes that can be read directly count like those of messages, however they are split over both.
func TestPutFromASource(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef!"), 60_000)
	for name, tt := range map[string]struct {
		source, messages []byte
		more             io.Reader
		size             int
		want             typesv1.Reason
	}{
		"all of it":                     {source: data, size: len(data)},
		"one byte at a time, then more": {more: iotest.OneByteReader(bytes.NewReader(data[:1000])), messages: data[1000:], size: len(data)},
		"data with the end":             {more: iotest.DataErrReader(bytes.NewReader(data)), size: len(data)},
		"nothing at the source":         {source: nil, messages: data, size: len(data)},
		"too little":                    {source: data[1:], size: len(data), want: typesv1.Reason_REASON_INCOMPLETE_BODY},
		"too much in messages":          {source: data, messages: []byte{1}, size: len(data), want: typesv1.Reason_REASON_BODY_TOO_LONG},
		"only as much as was announced": {source: append(bytes.Clone(data), 1), size: len(data)},
		"it breaks": {
			more: io.MultiReader(bytes.NewReader(data[1:]), iotest.ErrReader(errBroken)), size: len(data), want: typesv1.Reason_REASON_INVALID_ARGUMENT,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			b := &body{source: tt.more, pieces: pieces(tt.messages, 100_000)}
			if tt.more == nil {
				b.source = bytes.NewReader(tt.source)
			}
			spec := &apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(int64(tt.size))}
			_, err := f.service.Put(f.ctx, spec, b)
			if tt.want != typesv1.Reason_REASON_UNSPECIFIED {
				if !fault.Is(err, tt.want) {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.read(t, "k"), data) {
				t.Error("it came back changed")
			}
		})
	}
}

var errBroken = fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, "broken")

// An empty message in the middle of a body is not its end.
func TestPutWithEmptyPieces(t *testing.T) {
	f := newFixture(t)
	spec := &apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(2)}
	if _, err := f.service.Put(f.ctx, spec, &body{pieces: [][]byte{{}, {'a'}, nil, {'b'}, {}}}); err != nil {
		t.Fatal(err)
	}
	if got := f.read(t, "k"); string(got) != "ab" {
		t.Fatalf("%q", got)
	}
}

func TestPutThatIsRefused(t *testing.T) {
	large := bytes.Repeat([]byte{1}, 300<<10)
	for name, tc := range map[string]struct {
		spec *apiv1.PutObjectSpec
		body *body
		want typesv1.Reason
		// asked: the body may be looked at.
		asked bool
	}{
		"no such bucket":        {&apiv1.PutObjectSpec{Bucket: "x", Key: "k"}, &body{}, typesv1.Reason_REASON_NO_SUCH_BUCKET, false},
		"another's bucket":      {&apiv1.PutObjectSpec{Bucket: "theirs", Key: "k"}, &body{}, typesv1.Reason_REASON_ACCESS_DENIED, false},
		"too large":             {&apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(5<<40 + 1)}, &body{}, typesv1.Reason_REASON_OBJECT_TOO_LARGE, false},
		"must be there":         {&apiv1.PutObjectSpec{Bucket: "b", Key: "k", Preconditions: &apiv1.Preconditions{IfMatch: "*"}}, &body{}, typesv1.Reason_REASON_PRECONDITION_FAILED, false},
		"must not be there":     {&apiv1.PutObjectSpec{Bucket: "b", Key: "there", Preconditions: &apiv1.Preconditions{IfNoneMatch: "*"}}, &body{}, typesv1.Reason_REASON_PRECONDITION_FAILED, false},
		"weak tag":              {&apiv1.PutObjectSpec{Bucket: "b", Key: "there", Preconditions: &apiv1.Preconditions{IfMatch: `W/"a"`}}, &body{}, typesv1.Reason_REASON_PRECONDITION_FAILED, false},
		"malformed tag":         {&apiv1.PutObjectSpec{Bucket: "b", Key: "k", Preconditions: &apiv1.Preconditions{IfMatch: `"`}}, &body{}, typesv1.Reason_REASON_INVALID_ARGUMENT, false},
		"small, short":          {&apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(5)}, &body{pieces: [][]byte{{1}}}, typesv1.Reason_REASON_INCOMPLETE_BODY, true},
		"small, long":           {&apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(5)}, &body{pieces: [][]byte{{1, 2, 3}, {4, 5, 6}}}, typesv1.Reason_REASON_BODY_TOO_LONG, true},
		"empty, long":           {&apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(0)}, &body{pieces: [][]byte{{1}}}, typesv1.Reason_REASON_BODY_TOO_LONG, true},
		"large, short":          {&apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(1 << 20)}, &body{pieces: [][]byte{large}}, typesv1.Reason_REASON_INCOMPLETE_BODY, true},
		"large, long":           {&apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(300<<10 - 1)}, &body{pieces: [][]byte{large}}, typesv1.Reason_REASON_BODY_TOO_LONG, true},
		"small, broken":         {&apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, &body{pieces: [][]byte{{1}}, end: context.Canceled}, typesv1.Reason_REASON_UNSPECIFIED, true},
		"large, broken":         {&apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, &body{pieces: [][]byte{large}, end: context.Canceled}, typesv1.Reason_REASON_UNSPECIFIED, true},
		"small, wrong checksum": {&apiv1.PutObjectSpec{Bucket: "b", Key: "k", Checksums: []*typesv1.Checksum{{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC32, Value: []byte("1234")}}}, &body{pieces: [][]byte{{1}}}, typesv1.Reason_REASON_BAD_CHECKSUM, true},
		"large, wrong trailer":  {&apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, &body{pieces: [][]byte{large}, trailer: []*typesv1.Checksum{{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME, Value: []byte("12345678")}}}, typesv1.Reason_REASON_BAD_CHECKSUM, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.bucket(t, "theirs", "somebody else")
			there := &apiv1.PutObjectSpec{Bucket: "b", Key: "there"}
			if _, err := f.service.Put(f.ctx, there, &body{}); err != nil {
				t.Fatal(err)
			}
			_, err := f.service.Put(f.ctx, tc.spec, tc.body)
			if err == nil || fault.Reason(err) != tc.want {
				t.Fatalf("%v, want %v", err, tc.want)
			}
			if !tc.asked && tc.body.asked > 0 {
				t.Error("the body was asked for")
			}
			if n := f.names.Objects(); n != 1 {
				t.Errorf("%d objects", n)
			}
			if n := f.volumes.Streams(); n != 0 {
				t.Errorf("%d streams are open", n)
			}
		})
	}
}

// A bucket that was removed and made anew while its row was cached takes the upload, and the record names the new one.
func TestPutIntoABucketMadeAnew(t *testing.T) {
	f := newFixture(t)
	if _, err := f.service.Put(f.ctx, &apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, &body{pieces: [][]byte{{1}}}); err != nil {
		t.Fatal(err)
	}
	if err := f.service.Delete(f.ctx, &apiv1.DeleteObjectRequest{Bucket: "b", Key: "k"}); err != nil {
		t.Fatal(err)
	}
	_, err := f.names.DeleteBucket(f.ctx, &metadatav1.DeleteBucketRequest{Tenant: auth.RootTenant, Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	f.bucket(t, "b", auth.RootTenant)
	spec := &apiv1.PutObjectSpec{Bucket: "b", Key: "k", Size: proto.Int64(3)}
	if _, err := f.service.Put(f.ctx, spec, &body{pieces: [][]byte{[]byte("new")}}); err != nil {
		t.Fatal(err)
	}
	if got := f.read(t, "k"); string(got) != "new" {
		t.Fatalf("%q", got)
	}
	headers := f.volumes.Headers()
	fresh, err := f.names.Bucket(f.ctx, "b", true)
	if err != nil {
		t.Fatal(err)
	}
	if got := headers[len(headers)-1].GetBucketId(); got != fresh.GetId() {
		t.Fatalf("the record names bucket %d, the bucket is %d", got, fresh.GetId())
	}
	if bytes.Equal(headers[len(headers)-1].GetWriteId(), headers[len(headers)-2].GetWriteId()) {
		t.Fatal("two records have one write id")
	}
}

// When the writer's floor has overtaken the volume a small object is packed once more; a large one is gone through our
// hands, and the client is asked to come again.
func TestPutOfAFencedWriter(t *testing.T) {
	fenced := fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_WRITER_FENCED, "the floor is above")
	for name, tc := range map[string]struct {
		size int
		want codes.Code
	}{"small": {10, codes.OK}, "large": {1 << 20, codes.Unavailable}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			tries := 0
			f.names.before = func(*metadatav1.Mutation) error {
				if tries++; tries == 1 {
					return fenced
				}
				return nil
			}
			_, err := f.service.Put(f.ctx, &apiv1.PutObjectSpec{Bucket: "b", Key: "k"},
				&body{pieces: pieces(make([]byte, tc.size), 100<<10)})
			if fault.Code(err) != tc.want {
				t.Fatal(err)
			}
			if _, again := fault.RetryAfter(err); err != nil && !again {
				t.Fatal("nothing says when to come again")
			}
		})
	}
}

// What became of a commit that did not answer is unknown, and says so.
func TestPutWithAnUnknownOutcome(t *testing.T) {
	f := newFixture(t)
	f.names.before = func(*metadatav1.Mutation) error {
		return fault.New(codes.Unavailable, typesv1.Reason_REASON_OUTCOME_UNKNOWN, "no answer")
	}
	_, err := f.service.Put(f.ctx, &apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, &body{pieces: [][]byte{{1}}})
	if !fault.Is(err, typesv1.Reason_REASON_OUTCOME_UNKNOWN) || fault.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
}

func TestGatesRefuse(t *testing.T) {
	f := newFixture(t)
	gates, err := object.NewGates(object.Limits{
		Puts: 1, Gets: 1, Lists: 1, Others: 1, Queue: 1, Wait: time.Millisecond, BodyMemory: 1 << 20,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	service := object.New(object.Deps{Names: f.names, Writer: f.volumes, Reader: f.volumes, Gates: gates})
	var inside error
	blocked := &reentrant{work: func() {
		_, inside = service.Put(f.ctx, &apiv1.PutObjectSpec{Bucket: "b", Key: "other"}, &body{})
	}}
	if _, err := service.Put(f.ctx, &apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, blocked); err != nil {
		t.Fatal(err)
	}
	if !fault.Is(inside, typesv1.Reason_REASON_OVERLOADED) {
		t.Fatal(inside)
	}
	if d, ok := fault.RetryAfter(inside); !ok || d <= 0 {
		t.Fatalf("retry after %v", d)
	}
	canceled, cancel := context.WithCancel(f.ctx)
	cancel()
	blocked = &reentrant{work: func() {
		_, inside = service.Put(canceled, &apiv1.PutObjectSpec{Bucket: "b", Key: "other"}, &body{})
	}}
	if _, err := service.Put(f.ctx, &apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, blocked); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(inside, context.Canceled) {
		t.Fatalf("a caller that left was told %v", inside)
	}
}

// reentrant does something while an upload is in flight.
type reentrant struct {
	body
	work func()
}

func (r *reentrant) Next() ([]byte, error) {
	if r.work != nil {
		r.work()
		r.work = nil
	}
	return r.body.Next()
}
