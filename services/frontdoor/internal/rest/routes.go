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

// route is one method of a path, with the names of the query parameters that it knows.
type route struct {
	method, op string
	query      []string
}

const queryVersion = "versionId"

// routesOf are what a path answers to; none for a path that is none of ours.
func routesOf(path string) []route {
	switch path {
	case pathHealth, pathReady, pathOpenAPI:
		return reading(opOther)
	case pathCluster:
		return reading("GetCluster")
	case pathBuckets:
		return reading("ListBuckets", "pageSize", "pageToken")
	}
	if _, key, ok := objectPath(path); ok && key != "" {
		version := []string{queryVersion}
		return []route{
			{http.MethodGet, "GetObject", version},
			{http.MethodHead, "StatObject", version},
			{http.MethodPut, "PutObject", nil},
			{http.MethodDelete, "DeleteObject", version},
		}
	}
	rest, ok := strings.CutPrefix(path, pathBuckets+"/")
	if !ok {
		return nil
	}
	_, rest, deeper := strings.Cut(rest, "/")
	switch {
	case !deeper:
		return append(reading("GetBucket"),
			route{http.MethodPut, "CreateBucket", nil}, route{http.MethodDelete, "DeleteBucket", nil})
	case rest == "objects" || rest == "objects/":
		return reading("ListObjects", "prefix", "delimiter", "pageSize", "pageToken", "startAfter", "includeMetadata")
	}
	return nil
}

// reading is GET, and HEAD, which is the same without a body.
func reading(op string, query ...string) []route {
	return []route{{http.MethodGet, op, query}, {http.MethodHead, op, query}}
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
