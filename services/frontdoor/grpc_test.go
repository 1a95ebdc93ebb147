package frontdoor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// putGRPC stores an object over gRPC in messages of 100 KiB.
func putGRPC(
	ctx context.Context, c apiv1.ObjectServiceClient, spec *apiv1.PutObjectSpec, data []byte, trailer *apiv1.PutObjectTrailer,
) (*apiv1.PutObjectResponse, error) {
	messages := []*apiv1.PutObjectRequest{{Part: &apiv1.PutObjectRequest_Spec{Spec: spec}}}
	for len(data) > 0 {
		n := min(len(data), 100<<10)
		messages = append(messages, &apiv1.PutObjectRequest{Part: &apiv1.PutObjectRequest_Data{Data: data[:n]}})
		data = data[n:]
	}
	if trailer != nil {
		messages = append(messages, &apiv1.PutObjectRequest{Part: &apiv1.PutObjectRequest_Trailer{Trailer: trailer}})
	}
	return sendAll(ctx, c, messages...)
}

func sendAll(ctx context.Context, c apiv1.ObjectServiceClient, messages ...*apiv1.PutObjectRequest) (*apiv1.PutObjectResponse, error) {
	stream, err := c.PutObject(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if err := stream.Send(m); err != nil {
			break // CloseAndRecv has the status.
		}
	}
	return stream.CloseAndRecv()
}

// getGRPC reads an object over gRPC.
func getGRPC(
	ctx context.Context, c apiv1.ObjectServiceClient, req *apiv1.GetObjectRequest,
) (head *apiv1.GetObjectHead, data []byte, err error) {
	stream, err := c.GetObject(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return head, data, nil
		}
		if err != nil {
			return head, data, err
		}
		if h := m.GetHead(); h != nil {
			head = h
		}
		data = append(data, m.GetData()...)
	}
}

func TestMalformedUploads(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	spec := &apiv1.PutObjectRequest{Part: &apiv1.PutObjectRequest_Spec{Spec: &apiv1.PutObjectSpec{Bucket: "bbb", Key: "k"}}}
	data := &apiv1.PutObjectRequest{Part: &apiv1.PutObjectRequest_Data{Data: []byte("x")}}
	trailer := &apiv1.PutObjectRequest{Part: &apiv1.PutObjectRequest_Trailer{Trailer: &apiv1.PutObjectTrailer{}}}
	huge := &apiv1.PutObjectRequest{Part: &apiv1.PutObjectRequest_Data{Data: make([]byte, 1<<20+1)}}
	sized := &apiv1.PutObjectRequest{Part: &apiv1.PutObjectRequest_Spec{Spec: &apiv1.PutObjectSpec{
		Bucket: "bbb", Key: "k", Size: proto.Int64(3),
	}}}
	for name, tc := range map[string]struct {
		messages []*apiv1.PutObjectRequest
		want     typesv1.Reason
	}{
		"nothing":               {nil, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"data first":            {[]*apiv1.PutObjectRequest{data}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"two specs":             {[]*apiv1.PutObjectRequest{spec, spec}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"an empty message":      {[]*apiv1.PutObjectRequest{spec, {}}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"data after a trailer":  {[]*apiv1.PutObjectRequest{spec, trailer, data}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"two trailers":          {[]*apiv1.PutObjectRequest{spec, trailer, trailer}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"a message over 1 MiB":  {[]*apiv1.PutObjectRequest{spec, huge}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"shorter than its size": {[]*apiv1.PutObjectRequest{sized, data}, typesv1.Reason_REASON_INCOMPLETE_BODY},
		"longer than its size":  {[]*apiv1.PutObjectRequest{sized, data, data, data, data}, typesv1.Reason_REASON_BODY_TOO_LONG},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := sendAll(t.Context(), w.objects(), tc.messages...); fault.Reason(err) != tc.want {
				t.Fatalf("%v, want %v", err, tc.want)
			}
		})
	}
	if n := w.names.Objects(); n != 0 {
		t.Fatalf("%d objects", n)
	}
}

// A client that gives its stream up stores nothing.
func TestUploadThatIsGivenUp(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := w.objects().PutObject(ctx)
	if err != nil {
		t.Fatal(err)
	}
	spec := &apiv1.PutObjectSpec{Bucket: "bbb", Key: "k"}
	for _, m := range []*apiv1.PutObjectRequest{
		{Part: &apiv1.PutObjectRequest_Spec{Spec: spec}}, {Part: &apiv1.PutObjectRequest_Data{Data: make([]byte, 1<<20)}},
	} {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if _, err := stream.CloseAndRecv(); fault.Code(err) != codes.Canceled {
		t.Fatal(err)
	}
	// The server's own end is behind this call, which uses the same connection.
	if _, err := apiv1.NewBucketServiceClient(w.grpc).ListBuckets(t.Context(), &apiv1.ListBucketsRequest{}); err != nil {
		t.Fatal(err)
	}
	if w.names.Objects() != 0 || w.names.Commits() != 0 {
		t.Fatal("it was stored")
	}
}

func TestHealthAndReflectionNeedNoToken(t *testing.T) {
	w := newWorld(t, worldOptions{})
	conn, err := grpc.NewClient(w.grpc.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	listed := fmt.Sprint(answer.GetListServicesResponse())
	for _, service := range []string{"BucketService", "ObjectService", "ClusterService", "grpc.health.v1.Health"} {
		if !bytes.Contains([]byte(listed), []byte(service)) {
			t.Errorf("%s is not in %s", service, listed)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := apiv1.NewBucketServiceClient(conn).ListBuckets(t.Context(), &apiv1.ListBucketsRequest{}); fault.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
	if _, err := sendAll(t.Context(), apiv1.NewObjectServiceClient(conn)); fault.Code(err) != codes.Unauthenticated {
		t.Errorf("an upload without a token: %v", err)
	}
}

// REST and gRPC are two ways to one thing: the same call has the same outcome, and each reads what the other wrote.
func TestParity(t *testing.T) {
	w := crowded(t)
	objects, buckets := w.objects(), apiv1.NewBucketServiceClient(w.grpc)
	data := payload(700 << 10)
	meta := map[string]string{"colour": "blue"}
	if _, err := putGRPC(t.Context(), objects, &apiv1.PutObjectSpec{
		Bucket: "full", Key: "over/gRPC", ContentType: "text/plain", Metadata: meta, Size: proto.Int64(int64(len(data))),
	}, data, &apiv1.PutObjectTrailer{Checksums: []*typesv1.Checksum{{
		Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME, Value: crc64Bytes(data),
	}}}); err != nil {
		t.Fatal(err)
	}
	w.put(t, "full", "over/REST", data, "Content-Type", "text/plain", "Drystone-Meta-Colour", "blue")
	for _, key := range []string{"over/gRPC", "over/REST"} {
		head, read, err := getGRPC(t.Context(), objects, &apiv1.GetObjectRequest{Bucket: "full", Key: key, Range: "bytes=5-"})
		if err != nil || !bytes.Equal(read, data[5:]) || !head.GetPartial() || head.GetOffset() != 5 {
			t.Fatalf("%s over gRPC: %v, %v", key, head, err)
		}
		rest := w.call(t, "GET", objectURL("full", key), nil)
		if !bytes.Equal(rest.body, data) {
			t.Fatalf("%s over REST: %d", key, rest.status)
		}
		o := head.GetObject()
		for name, want := range map[string]string{
			"ETag": o.GetEtag(), "Drystone-Version-Id": o.GetVersionId(), "Content-Type": o.GetContentType(),
			"Drystone-Checksum-Crc64nvme": o.GetChecksumCrc64Nvme(), "Drystone-Meta-Colour": o.GetMetadata()["colour"],
			"Last-Modified": o.GetLastModified().AsTime().Format(http.TimeFormat), "Content-Length": fmt.Sprint(o.GetSize()),
		} {
			if got := rest.header.Get(name); got != want || want == "" {
				t.Errorf("%s: %s is %q over REST and %q over gRPC", key, name, got, want)
			}
		}
	}
	for name, tc := range map[string]struct {
		method, path string
		headers      []string
		call         func() error
	}{
		"missing key": {"GET", "/v1/buckets/full/objects/missing", nil, func() error {
			_, _, err := getGRPC(t.Context(), objects, &apiv1.GetObjectRequest{Bucket: "full", Key: "missing"})
			return err
		}},
		"missing bucket": {"GET", "/v1/buckets/missing/objects", nil, func() error {
			_, err := objects.ListObjects(t.Context(), &apiv1.ListObjectsRequest{Bucket: "missing"})
			return err
		}},
		"another's bucket": {"GET", "/v1/buckets/theirs/objects/k", nil, func() error {
			_, err := objects.StatObject(t.Context(), &apiv1.StatObjectRequest{Bucket: "theirs", Key: "k"})
			return err
		}},
		"range": {"GET", "/v1/buckets/full/objects/key", []string{"Range", "bytes=99-"}, func() error {
			_, _, err := getGRPC(t.Context(), objects, &apiv1.GetObjectRequest{Bucket: "full", Key: "key", Range: "bytes=99-"})
			return err
		}},
		"precondition": {"DELETE", "/v1/buckets/full/objects/key", []string{"If-Match", `"x"`}, func() error {
			_, err := objects.DeleteObject(t.Context(), &apiv1.DeleteObjectRequest{
				Bucket: "full", Key: "key", Preconditions: &apiv1.Preconditions{IfMatch: `"x"`},
			})
			return err
		}},
		"full bucket": {"DELETE", "/v1/buckets/full", nil, func() error {
			_, err := buckets.DeleteBucket(t.Context(), &apiv1.DeleteBucketRequest{Bucket: "full"})
			return err
		}},
		"bad name": {"PUT", "/v1/buckets/B", nil, func() error {
			_, err := buckets.CreateBucket(t.Context(), &apiv1.CreateBucketRequest{Bucket: "B"})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rest := w.call(t, tc.method, tc.path, nil, tc.headers...)
			err := tc.call()
			if err == nil || rest.reason != fault.Name(fault.Reason(err)) {
				t.Fatalf("REST says %d %q, gRPC %v", rest.status, rest.reason, err)
			}
		})
	}
}
