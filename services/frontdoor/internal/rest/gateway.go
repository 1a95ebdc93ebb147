package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// maxJSONBody bounds what is not an object's bytes: a bucket's settings are a line.
const maxJSONBody = 64 << 10

// newGateway sets grpc-gateway up for bodies of any size and keys of any shape.
func newGateway(conn grpc.ClientConnInterface) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newMarshaler()),
		// What gRPC metadata is made of a request: its token, which the gateway adds itself, and nothing else.
		runtime.WithIncomingHeaderMatcher(none),
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithOutgoingTrailerMatcher(none),
		runtime.WithForwardResponseOption(writeHead),
		runtime.WithForwardResponseRewriter(rewrite),
		runtime.WithErrorHandler(handleError),
		runtime.WithStreamErrorHandler(handleStreamError),
		runtime.WithRoutingErrorHandler(handleRoutingError),
		// A chunked transfer encoding would replace the Content-Length.
		runtime.WithDisableChunkedEncoding(),
		runtime.WithWriteContentLength(),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		// `/objects` is a listing and never an object with an empty key.
		runtime.WithStrictDeepWildcardMatching(),
	)
	ctx := context.Background()
	err := errors.Join(
		apiv1.RegisterBucketServiceHandlerClient(ctx, mux, apiv1.NewBucketServiceClient(conn)),
		apiv1.RegisterClusterServiceHandlerClient(ctx, mux, apiv1.NewClusterServiceClient(conn)),
		apiv1.RegisterObjectServiceHandlerClient(ctx, mux, objectClient{apiv1.NewObjectServiceClient(conn)}),
	)
	if err != nil {
		return nil, fmt.Errorf("register the gateway's handlers: %w", err)
	}
	return mux, nil
}

func none(string) (string, bool) { return "", false }

// objectClient adds what HTTP has in headers to requests that the gateway made of path and query.
type objectClient struct{ apiv1.ObjectServiceClient }

// PutObject implements apiv1.ObjectServiceClient.
func (c objectClient) PutObject(
	ctx context.Context, opts ...grpc.CallOption,
) (grpc.ClientStreamingClient[apiv1.PutObjectRequest, apiv1.PutObjectResponse], error) {
	s, err := c.ObjectServiceClient.PutObject(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return putStream{s}, nil
}

// putStream keeps refusals, which are every day's business, from the gateway's own error log: it writes a line for one
// that Header returns, and none for one that comes with the answer.
type putStream struct {
	grpc.ClientStreamingClient[apiv1.PutObjectRequest, apiv1.PutObjectResponse]
}

// Header implements grpc.ClientStream; nothing of an answer is in metadata.
func (putStream) Header() (metadata.MD, error) { return nil, nil }

// GetObject implements apiv1.ObjectServiceClient.
func (c objectClient) GetObject(
	ctx context.Context, req *apiv1.GetObjectRequest, opts ...grpc.CallOption,
) (grpc.ServerStreamingClient[apiv1.GetObjectResponse], error) {
	h := exchangeOf(ctx).request.Header
	req.Range, req.IfRange = h.Get("Range"), h.Get("If-Range")
	req.Preconditions = preconditions(h)
	return c.ObjectServiceClient.GetObject(ctx, req, opts...)
}

// StatObject implements apiv1.ObjectServiceClient.
func (c objectClient) StatObject(
	ctx context.Context, req *apiv1.StatObjectRequest, opts ...grpc.CallOption,
) (*apiv1.StatObjectResponse, error) {
	req.Preconditions = preconditions(exchangeOf(ctx).request.Header)
	return c.ObjectServiceClient.StatObject(ctx, req, opts...)
}

// DeleteObject implements apiv1.ObjectServiceClient.
func (c objectClient) DeleteObject(
	ctx context.Context, req *apiv1.DeleteObjectRequest, opts ...grpc.CallOption,
) (*apiv1.DeleteObjectResponse, error) {
	req.Preconditions = preconditions(exchangeOf(ctx).request.Header)
	return c.ObjectServiceClient.DeleteObject(ctx, req, opts...)
}

// marshaler is JSON, except for an upload's body and for what has no body.
type marshaler struct{ runtime.JSONPb }

func newMarshaler() *marshaler {
	return &marshaler{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true}}}
}

// noBody is an answer that is all headers.
type noBody struct{}

// Marshal implements runtime.Marshaler.
func (m *marshaler) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case noBody:
		return nil, nil
	case *apiv1.ListObjectsResponse:
		return appendList(make([]byte, 0, listSize(v)), v), nil
	default:
		return m.JSONPb.Marshal(v)
	}
}

// NewDecoder implements runtime.Marshaler.
func (m *marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	if u, ok := r.(*upload); ok {
		return u
	}
	return m.JSONPb.NewDecoder(r)
}

// Delimiter implements runtime.Delimited: nothing stands between the messages of an object's bytes.
func (m *marshaler) Delimiter() []byte { return nil }

// handleError answers a call that failed before anything was written.
func handleError(
	ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, _ http.ResponseWriter, _ *http.Request, err error,
) {
	x := exchangeOf(ctx)
	if x.upload != nil {
		if x.upload.failure() == nil && ctx.Err() != nil {
			// net/http cancels a request whose body breaks off. A handler that read it knows why, and ends now.
			x.handlers()
		}
		if why := x.upload.failure(); why != nil {
			err = why // The gateway kept only its text.
		}
	}
	writeError(x, err)
}

// handleStreamError ends the connection: the first message of an object, which carries its length, was written.
func handleStreamError(context.Context, error) *status.Status { panic(http.ErrAbortHandler) }

func handleRoutingError(
	ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, _ http.ResponseWriter, r *http.Request, code int,
) {
	x := exchangeOf(ctx)
	switch code {
	case http.StatusMethodNotAllowed:
		methodNotAllowed(x)
	case http.StatusBadRequest:
		writeError(x, fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, "the path is malformed"))
	default:
		writeError(x, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_ROUTE,
			"there is nothing at this path; %s describes what there is", pathOpenAPI))
	}
}
