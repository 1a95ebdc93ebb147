package bucket

import (
	"context"
	"encoding/base64"

	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// tokenVersion is a page token's first byte; the name after which the next page begins follows, in base64url.
const tokenVersion = 1

// List returns a page of the caller's buckets by name and the token of the next page, empty on the last.
// Errors: INVALID_PAGE_TOKEN.
func (s *Service) List(ctx context.Context, limit int32, token string) (rows []*metadatav1.BucketRow, next string, err error) {
	after, err := decodeToken(token)
	if err != nil {
		return nil, "", err
	}
	rows, more, err := s.names.ListBuckets(ctx, auth.Tenant(ctx), after, limit)
	if err != nil {
		return nil, "", err
	}
	if more && len(rows) > 0 {
		next = encodeToken(rows[len(rows)-1].GetName())
	}
	return rows, next, nil
}

func encodeToken(after string) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{tokenVersion}, after...))
}

func decodeToken(token string) (after string, err error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < 1 || raw[0] != tokenVersion || validateName(string(raw[1:])) != nil {
		return "", fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_PAGE_TOKEN, "page token: it is not one of ours")
	}
	return string(raw[1:]), nil
}
