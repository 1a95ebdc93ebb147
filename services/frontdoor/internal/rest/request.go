package rest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// checkQuery refuses query parameters that a route does not know: whoever sends `?versionId=` with a PUT, or `?scheme=`
// with a bucket, must not believe that it was heeded. Paths and methods that are no route are refused as such later.
// Errors: INVALID_ARGUMENT.
func checkQuery(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid("the query is malformed: parameters are NAME=VALUE, percent-encoded, with & between them")
	}
	for _, route := range routesOf(r.URL.Path) {
		if route.method != r.Method {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(query)) {
			parameter := lowerCamel(name)
			switch {
			case !slices.Contains(route.query, parameter):
				return unknownParameter(route, name)
			case parameter == queryVersion && query.Get(name) == "":
				return invalid("%s: it is empty; leave it out for the current version", name)
			}
		}
	}
	return nil
}

// lowerCamel spells a parameter as JSON does; the gateway takes the spelling of the proto, `version_id`, as well.
func lowerCamel(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words {
		if i > 0 && word != "" {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}

func unknownParameter(r route, name string) error {
	switch {
	case lowerCamel(name) == queryVersion && r.method == http.MethodPut:
		return invalid("%s: a PUT makes a version of its own and cannot name one", name)
	case len(r.query) == 0:
		return invalid("query parameter %.64q: %s takes none", name, r.op)
	}
	return invalid("query parameter %.64q: %s takes %s", name, r.op, strings.Join(r.query, ", "))
}

// putSpec makes an upload's spec of a request's path and headers. Errors: INVALID_ARGUMENT.
func putSpec(r *http.Request, bucket, key string) (*apiv1.PutObjectSpec, error) {
	if r.Header.Get("Content-Range") != "" {
		// RFC 9110 §14.5: a server that does not know it must not store a part as the whole.
		return nil, invalid("Content-Range: an object is uploaded whole")
	}
	spec := &apiv1.PutObjectSpec{
		Bucket:        bucket,
		Key:           key,
		ContentType:   r.Header.Get("Content-Type"),
		Metadata:      userMetadata(r.Header),
		Preconditions: preconditions(r.Header),
	}
	if r.ContentLength >= 0 {
		spec.Size = &r.ContentLength
	}
	var err error
	if spec.Checksums, err = headerChecksums(r.Header); err != nil {
		return nil, err
	}
	spec.Checksums = append(spec.Checksums, announcedChecksums(r.Trailer)...)
	return spec, nil
}

// userMetadata collects the Drystone-Meta- headers; header names have no case, so metadata names are lower-case.
func userMetadata(h http.Header) map[string]string {
	var meta map[string]string
	for name, values := range h {
		suffix, ok := strings.CutPrefix(name, headerMeta)
		if !ok {
			continue
		}
		if meta == nil {
			meta = make(map[string]string)
		}
		meta[strings.ToLower(suffix)] = strings.Join(values, ", ")
	}
	return meta
}

// preconditions are nil when the request has none. Dates that do not parse are ignored, as RFC 9110 §13.1.3 says.
func preconditions(h http.Header) *apiv1.Preconditions {
	p := &apiv1.Preconditions{
		IfMatch:           strings.Join(h.Values("If-Match"), ", "),
		IfNoneMatch:       strings.Join(h.Values("If-None-Match"), ", "),
		IfModifiedSince:   date(h.Get("If-Modified-Since")),
		IfUnmodifiedSince: date(h.Get("If-Unmodified-Since")),
	}
	if p.GetIfMatch() == "" && p.GetIfNoneMatch() == "" && p.GetIfModifiedSince() == nil && p.GetIfUnmodifiedSince() == nil {
		return nil
	}
	return p
}

func date(value string) *timestamppb.Timestamp {
	if value == "" {
		return nil
	}
	t, err := http.ParseTime(value)
	if err != nil {
		return nil
	}
	return timestamppb.New(t)
}

func invalid(format string, args ...any) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, format, args...)
}
