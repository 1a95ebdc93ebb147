package object

import (
	"context"
	"strings"
	"unicode/utf8"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
)

// Page is a part of a listing, in the byte order of keys.
type Page struct {
	Versions []*metadatav1.ListedVersion
	Prefixes []string
	// Next is the token of the page after this one; empty on the last.
	Next string
}

// List returns a page of current objects. Errors: those of api.v1.ObjectService.ListObjects.
func (s *Service) List(ctx context.Context, req *apiv1.ListObjectsRequest) (Page, error) {
	limit, after, err := validateList(req)
	if err != nil {
		return Page{}, err
	}
	if err := s.gates.lists.enter(ctx); err != nil {
		return Page{}, err
	}
	defer s.gates.lists.leave()
	if _, err := s.authorized(ctx, req.GetBucket(), false); err != nil {
		return Page{}, err
	}
	resp, err := s.names.List(ctx, &metadatav1.ListVersionsRequest{
		Bucket: req.GetBucket(), Prefix: req.GetPrefix(), Delimiter: req.GetDelimiter(), StartAfter: after, Limit: limit,
	})
	if err != nil {
		return Page{}, err
	}
	if err := auth.Owns(ctx, resp.GetBucket().GetTenant()); err != nil {
		return Page{}, err
	}
	p := Page{Versions: resp.GetVersions(), Prefixes: resp.GetPrefixes()}
	if next := resp.GetNext(); next != "" {
		p.Next = encodeToken(req, next)
	}
	return p, nil
}

// validateList returns how many entries a page has and after which key it begins.
// Errors: INVALID_ARGUMENT, INVALID_PAGE_TOKEN.
func validateList(req *apiv1.ListObjectsRequest) (limit int32, after string, err error) {
	for _, field := range []struct{ name, value string }{
		{"prefix", req.GetPrefix()}, {"delimiter", req.GetDelimiter()}, {"start after", req.GetStartAfter()},
	} {
		if err := validateBound(field.name, field.value); err != nil {
			return 0, "", err
		}
	}
	if limit, err = PageSize(req.GetPageSize()); err != nil {
		return 0, "", err
	}
	if req.GetPageToken() == "" {
		return limit, req.GetStartAfter(), nil
	}
	after, err = decodeToken(req)
	return limit, after, err
}

// PageSize is how many entries a page has of which size were asked for: all that is allowed for 0, and never more.
// Errors: INVALID_ARGUMENT.
func PageSize(asked int32) (int32, error) {
	switch {
	case asked < 0:
		return 0, invalid("page size: it is negative")
	case asked == 0 || asked > MaxPage:
		return MaxPage, nil
	}
	return asked, nil
}

func validateBound(name, value string) error {
	switch {
	case len(value) > MaxKey:
		return refuse(typesv1.Reason_REASON_KEY_TOO_LONG, "%s: it has %d bytes; keys have at most %d", name, len(value), MaxKey)
	case !utf8.ValidString(value):
		return invalid("%s: it is not UTF-8", name)
	case strings.IndexByte(value, 0) >= 0:
		return invalid("%s: it holds a NUL", name)
	}
	return nil
}
