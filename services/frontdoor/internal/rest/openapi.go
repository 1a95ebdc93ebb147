package rest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The generated OpenAPI document knows the gRPC messages; over HTTP an object's bytes are the body and what surrounds
// them is in headers. describe says it as it is served.

const (
	generatedPut  = pathBuckets + "/*/objects/**"
	generatedPath = pathBuckets + "/{bucket}/objects/{key}"
	octets        = "application/octet-stream"
)

// node is a JSON object.
type node = map[string]any

// describe turns the generated document into the one that is served. Errors: JSON that is not that document.
func describe(generated []byte) ([]byte, error) {
	var doc node
	if err := json.Unmarshal(generated, &doc); err != nil {
		return nil, fmt.Errorf("read the openapi document: %w", err)
	}
	paths, _ := doc["paths"].(node)
	put, _ := paths[generatedPut].(node)
	object, _ := paths[generatedPath].(node)
	if put == nil || object == nil {
		return nil, fmt.Errorf("openapi document: it lacks %s or %s", generatedPut, generatedPath)
	}
	delete(paths, generatedPut)
	object["put"] = put["put"]
	for method, change := range map[string]func(node){
		"put": describePut, "get": describeGet, "head": describeHead, "delete": describeDelete,
	} {
		operation, ok := object[method].(node)
		if !ok {
			return nil, fmt.Errorf("openapi document: it lacks %s %s", method, generatedPath)
		}
		change(operation)
	}
	if bucket, ok := paths[pathBuckets+"/{bucket}"].(node); ok {
		if operation, ok := bucket["delete"].(node); ok {
			answers(operation, "204", node{"description": "It is gone."})
		}
	}
	describeErrors(paths)
	describeDocument(doc)
	out, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write the openapi document: %w", err)
	}
	return append(out, '\n'), nil
}

func describeDocument(doc node) {
	doc["info"] = node{
		"title":   "Drystone",
		"version": "v1",
		"description": "An erasure-coded object store. Keys are opaque UTF-8 of up to 1,024 bytes; in a path they are " +
			"percent-encoded once, `/` may stand as it is. Errors are google.rpc.Status with an ErrorInfo whose reason is " +
			"stable. Every answer has an X-Request-Id.",
	}
	doc["securityDefinitions"] = node{"bearer": node{
		"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Bearer <token>`",
	}}
	doc["security"] = []any{node{"bearer": []any{}}}
	tags, _ := doc["tags"].([]any)
	doc["tags"] = slices.DeleteFunc(tags, func(t any) bool {
		tag, _ := t.(node)
		name, _ := tag["name"].(string)
		return !slices.Contains([]string{"BucketService", "ObjectService", "ClusterService"}, name)
	})
	prune(doc)
}

// prune drops definitions that nothing refers to any more.
func prune(doc node) {
	definitions, _ := doc["definitions"].(node)
	used := map[string]bool{}
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				visit(e)
			}
		case node:
			if ref, ok := v["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, "#/definitions/")
				if !used[name] {
					used[name] = true
					visit(definitions[name])
				}
			}
			for _, e := range v {
				visit(e)
			}
		}
	}
	visit(doc["paths"])
	maps.DeleteFunc(definitions, func(name string, _ any) bool { return !used[name] })
}

func describePut(op node) {
	op["summary"] = "Stores an object: its raw bytes are the body."
	op["description"] = "Nothing is visible before the answer; a body that ends early stores nothing. Safe to repeat. " +
		"A checksum may come in a header or, announced by `Trailer`, behind a chunked body."
	op["consumes"] = []any{octets}
	op["parameters"] = append(pathParameters(),
		node{"name": "body", "in": "body", "schema": node{"type": "string", "format": "binary"}},
		header("Content-Type", "Kept with the object; application/octet-stream if absent."),
		header(headerMeta+"*", "User metadata: any header of this prefix; names are lower-cased, 2 KiB in all."),
		header("If-Match", "Store only if the current ETag is one of these; `*`: only if there is an object."),
		header("If-None-Match", "`*`: store only if there is no object of this key."),
		header(headerCRC64, "CRC64-NVME of the body, base64; verified. Also as a trailer."),
		header("Content-Digest", "RFC 9530; its sha-256 is verified. Repr-Digest likewise."),
		header("Content-MD5", "Verified. So are the X-Amz-Checksum-* headers of S3's SDKs."),
	)
	answer, _ := op["responses"].(node)["200"].(node)
	answer["headers"] = node{"ETag": text(), headerVersionID: text(), headerCRC64: text()}
}

func describeGet(op node) {
	op["summary"] = "Reads an object or a range of it: the answer's body is its bytes."
	delete(op, "description")
	op["produces"] = []any{octets}
	op["parameters"] = append(append(pathParameters(), versionParameter()), readHeaders(true)...)
	answers(op, "200", node{
		"description": "The object.", "schema": node{"type": "file"}, "headers": objectHeaderDocs(),
	})
	partial := objectHeaderDocs()
	partial["Content-Range"] = text()
	responses, _ := op["responses"].(node)
	responses["206"] = node{"description": "The range.", "schema": node{"type": "file"}, "headers": partial}
}

func describeHead(op node) {
	op["summary"] = "Describes an object in headers, the same as GET's."
	delete(op, "description")
	op["parameters"] = append(append(pathParameters(), versionParameter()), readHeaders(false)...)
	answers(op, "200", node{"description": "The object exists.", "headers": objectHeaderDocs()})
}

func describeDelete(op node) {
	op["summary"] = "Removes an object; one that is absent is gone."
	delete(op, "description")
	op["parameters"] = append(pathParameters(),
		node{
			"name": queryVersion, "in": "query", "type": "string",
			"description": "16 hex digits: remove only if this is the current version; any other is gone already. " +
				"Absent: whatever is current.",
		},
		header("If-Match", "Remove only if the current ETag is one of these."))
	answers(op, "204", node{"description": "It is gone."})
}

// answers replaces an operation's successful response.
func answers(op node, status string, response node) {
	responses, _ := op["responses"].(node)
	delete(responses, "200")
	responses[status] = response
}

// describeErrors names the statuses that every operation may answer with.
func describeErrors(paths node) {
	for _, path := range paths {
		operations, _ := path.(node)
		for _, operation := range operations {
			op, _ := operation.(node)
			responses, ok := op["responses"].(node)
			if !ok {
				continue
			}
			if fallback, ok := responses["default"].(node); ok {
				fallback["description"] = "An error. 400 what was sent is wrong, 401 no valid token, 403 another's bucket, " +
					"404 not there, 405, 409 not empty or there with another scheme, 412 and 304 preconditions, 413 too large, 416 range, " +
					"429 and 503 try again after Retry-After."
			}
		}
	}
}

func pathParameters() []any {
	return []any{
		node{"name": "bucket", "in": "path", "required": true, "type": "string"},
		node{
			"name": "key", "in": "path", "required": true, "type": "string", "pattern": ".+",
			"description": "Everything behind `/objects/`.",
		},
	}
}

func versionParameter() node {
	return node{
		"name": queryVersion, "in": "query", "type": "string", "description": "16 hex digits; absent: the current version.",
	}
}

func readHeaders(ranges bool) []any {
	out := []any{
		header("If-Match", "412 unless the ETag is one of these."),
		header("If-None-Match", "304 if the ETag is one of these."),
		header("If-Modified-Since", "304 unless it changed since."),
		header("If-Unmodified-Since", "412 if it changed since."),
	}
	if ranges {
		out = append(out,
			header("Range", "One range of bytes; what is malformed or holds several is ignored."),
			header("If-Range", "The range applies only if this ETag or date still matches."))
	}
	return out
}

func objectHeaderDocs() node {
	return node{
		"ETag": text(), "Last-Modified": text(), "Content-Length": node{"type": "integer"}, "Accept-Ranges": text(),
		headerVersionID: text(), headerCRC64: text(), headerMeta + "*": text(),
	}
}

func header(name, description string) node {
	return node{"name": name, "in": "header", "type": "string", "description": description}
}

func text() node { return node{"type": "string"} }
