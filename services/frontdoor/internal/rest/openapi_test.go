package rest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/drystone-store/drystone/proto/gen/openapi"
)

func TestDescribe(t *testing.T) {
	raw, err := describe(openapi.JSON)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Consumes, Produces []string
			Parameters         []struct{ Name, In string }
			Responses          map[string]struct{ Schema map[string]any }
		}
		Definitions map[string]any
		Tags        []struct{ Name string }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var routes []string
	for path, methods := range doc.Paths {
		for method := range methods {
			routes = append(routes, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(routes)
	want := []string{
		"DELETE /v1/buckets/{bucket}", "DELETE /v1/buckets/{bucket}/objects/{key}",
		"GET /v1/buckets", "GET /v1/buckets/{bucket}", "GET /v1/buckets/{bucket}/objects",
		"GET /v1/buckets/{bucket}/objects/{key}", "GET /v1/cluster",
		"HEAD /v1/buckets", "HEAD /v1/buckets/{bucket}", "HEAD /v1/buckets/{bucket}/objects",
		"HEAD /v1/buckets/{bucket}/objects/{key}", "HEAD /v1/cluster",
		"PUT /v1/buckets/{bucket}", "PUT /v1/buckets/{bucket}/objects/{key}",
	}
	if !slices.Equal(routes, want) {
		t.Fatalf("routes:\n%s", strings.Join(routes, "\n"))
	}
	// What is documented is what routes know, and the other way round.
	for _, route := range want {
		method, path, _ := strings.Cut(route, " ")
		if operation(method, strings.NewReplacer("{bucket}", "b", "{key}", "k").Replace(path)) == opOther {
			t.Errorf("%s is no route", route)
		}
	}
	object := doc.Paths[generatedPath]
	if got := object["put"]; !slices.Equal(got.Consumes, []string{octets}) || len(got.Parameters) < 8 {
		t.Errorf("put: %+v", got)
	}
	if got := object["get"]; got.Responses["206"].Schema["type"] != "file" || got.Responses["200"].Schema["type"] != "file" {
		t.Errorf("get: %+v", got)
	}
	for _, path := range []string{generatedPath, "/v1/buckets/{bucket}"} {
		responses := doc.Paths[path]["delete"].Responses
		if _, ok := responses["204"]; !ok || len(responses) != 2 {
			t.Errorf("delete %s: %+v", path, responses)
		}
	}
	if len(doc.Tags) != 3 {
		t.Errorf("tags: %v", doc.Tags)
	}
	for name := range doc.Definitions {
		if strings.Contains(name, "PutObjectRequest") || strings.Contains(name, "GetObjectResponse") {
			t.Errorf("definition %s is of gRPC", name)
		}
	}
	if references := strings.Count(string(raw), `"$ref"`); references == 0 || len(doc.Definitions) == 0 {
		t.Error("nothing is defined")
	}
	for _, ref := range strings.Split(string(raw), `"#/definitions/`)[1:] {
		name, _, _ := strings.Cut(ref, `"`)
		if doc.Definitions[name] == nil {
			t.Errorf("definition %s is missing", name)
		}
	}
}

func TestDescribeOfSomethingElse(t *testing.T) {
	for _, raw := range []string{"", "{}", `{"paths":{}}`, `{"paths":{"/v1/buckets/*/objects/**":{},"/v1/buckets/{bucket}/objects/{key}":{}}}`} {
		if _, err := describe([]byte(raw)); err == nil {
			t.Errorf("%q was taken", raw)
		}
	}
}
