package rest

import (
	"net/http"
	"strings"
)

const (
	pathBuckets = "/v1/buckets"
	pathCluster = "/v1/cluster"
	pathHealth  = "/healthz"
	pathReady   = "/readyz"
	pathOpenAPI = "/openapi.json"

	opOther = "other"
)

// objectPath splits the path of an object, which is unescaped already: everything behind `/objects/` is the key.
// ok is true for an empty key, too.
func objectPath(path string) (bucket, key string, ok bool) {
	rest, ok := strings.CutPrefix(path, pathBuckets+"/")
	if !ok {
		return "", "", false
	}
	bucket, rest, ok = strings.Cut(rest, "/")
	if !ok {
		return "", "", false
	}
	key, ok = strings.CutPrefix(rest, "objects/")
	if !ok {
		return "", "", false
	}
	return bucket, key, true
}

// route is one method of a path.
type route struct{ method, op string }

// routesOf are what a path answers to; none for a path that is none of ours.
func routesOf(path string) []route {
	switch path {
	case pathHealth, pathReady, pathOpenAPI:
		return []route{{http.MethodGet, opOther}, {http.MethodHead, opOther}}
	case pathCluster:
		return []route{{http.MethodGet, "GetCluster"}}
	case pathBuckets:
		return []route{{http.MethodGet, "ListBuckets"}}
	}
	if _, key, ok := objectPath(path); ok && key != "" {
		return []route{
			{http.MethodGet, "GetObject"},
			{http.MethodHead, "StatObject"},
			{http.MethodPut, "PutObject"},
			{http.MethodDelete, "DeleteObject"},
		}
	}
	rest, ok := strings.CutPrefix(path, pathBuckets+"/")
	if !ok {
		return nil
	}
	_, rest, deeper := strings.Cut(rest, "/")
	switch {
	case !deeper:
		return []route{
			{http.MethodGet, "GetBucket"},
			{http.MethodHead, "GetBucket"},
			{http.MethodPut, "CreateBucket"},
			{http.MethodDelete, "DeleteBucket"},
		}
	case rest == "objects" || rest == "objects/":
		return []route{{http.MethodGet, "ListObjects"}}
	}
	return nil
}

// operation names what a request asks for: a bounded set, for logs and metrics.
func operation(method, path string) string {
	for _, r := range routesOf(path) {
		if r.method == method {
			return r.op
		}
	}
	return opOther
}
