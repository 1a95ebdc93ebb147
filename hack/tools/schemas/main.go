// Command schemas makes strict JSON schemas of the Kubernetes kinds that the chart uses, in the layout that kubeconform
// reads, from the sources of Kubernetes and of the Gateway API as Go modules: the chart is checked without a network.
//
//	schemas -out charts/schemas
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Where schemas come from: exact versions, so that the result is the same everywhere.
const (
	kubernetes = "k8s.io/kubernetes@v1.36.3"
	gatewayAPI = "sigs.k8s.io/gateway-api@v1.4.0"
)

// kinds are what the chart renders, as "Kind group/version".
var kinds = []string{
	"ConfigMap v1", "PersistentVolumeClaim v1", "Pod v1", "Secret v1", "Service v1", "ServiceAccount v1",
	"Deployment apps/v1", "StatefulSet apps/v1",
	"HorizontalPodAutoscaler autoscaling/v2",
	"CronJob batch/v1", "Job batch/v1",
	"Ingress networking.k8s.io/v1", "NetworkPolicy networking.k8s.io/v1",
	"PodDisruptionBudget policy/v1",
	"ClusterRole rbac.authorization.k8s.io/v1", "ClusterRoleBinding rbac.authorization.k8s.io/v1",
	"Role rbac.authorization.k8s.io/v1", "RoleBinding rbac.authorization.k8s.io/v1",
}

const definitionsFile = "_definitions.json"

type schema = map[string]any

func main() {
	out := flag.String("out", "charts/schemas", "the `folder` to write to")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	return errors.Join(writeBuiltIn(out), writeRoute(out))
}

// source is the folder of a module's sources.
func source(module string) (string, error) {
	raw, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if err != nil {
		return "", fmt.Errorf("get %s: %w", module, err)
	}
	var answer struct{ Dir string }
	return answer.Dir, json.Unmarshal(raw, &answer)
}

// writeBuiltIn writes the kinds of Kubernetes itself: a small file each that refers to shared definitions.
func writeBuiltIn(out string) error {
	dir, err := source(kubernetes)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "api/openapi-spec/swagger.json"))
	if err != nil {
		return err
	}
	var document struct{ Definitions map[string]schema }
	if err := json.Unmarshal(raw, &document); err != nil {
		return err
	}
	names := map[string]string{}
	for name, d := range document.Definitions {
		gvks, _ := d["x-kubernetes-group-version-kind"].([]any)
		for _, g := range gvks {
			gvk, _ := g.(map[string]any)
			version := fmt.Sprint(gvk["version"])
			if group := fmt.Sprint(gvk["group"]); group != "" {
				version = group + "/" + version
			}
			names[fmt.Sprint(gvk["kind"])+" "+version] = name
		}
	}
	used := map[string]schema{}
	for _, kind := range kinds {
		name, ok := names[kind]
		if !ok {
			return fmt.Errorf("%s has no %s", kubernetes, kind)
		}
		collect(document.Definitions, name, used)
		// kubeconform wants each kind's own fields in its file.
		if err := write(filepath.Join(out, fileName(kind)), used[name]); err != nil {
			return err
		}
	}
	return write(filepath.Join(out, definitionsFile), schema{"definitions": used})
}

func fileName(kind string) string {
	name, version, _ := strings.Cut(kind, " ")
	group, version, grouped := strings.Cut(version, "/")
	if !grouped {
		group, version = "", group
	}
	group, _, _ = strings.Cut(group, ".")
	parts := slices.DeleteFunc([]string{name, group, version}, func(s string) bool { return s == "" })
	return strings.ToLower(strings.Join(parts, "-")) + ".json"
}

// collect takes a definition, and all that it refers to, into used, made strict.
func collect(all map[string]schema, name string, used map[string]schema) {
	if _, known := used[name]; known {
		return
	}
	switch {
	case strings.HasSuffix(name, ".intstr.IntOrString"):
		used[name] = schema{"type": []string{"string", "integer"}}
		return
	case strings.HasSuffix(name, ".resource.Quantity"):
		used[name] = schema{"type": []string{"string", "number"}}
		return
	}
	used[name] = nil // against cycles
	used[name] = strict(all[name], func(ref string) string {
		target := strings.TrimPrefix(ref, "#/definitions/")
		collect(all, target, used)
		return definitionsFile + "#/definitions/" + target
	}).(schema)
}

// strict copies a schema: what it does not name is refused, descriptions are left out, references rewritten.
func strict(v any, refer func(string) string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = strict(v[i], refer)
		}
		return v
	case schema:
		out := schema{}
		for key, value := range v {
			switch ref, isRef := value.(string); {
			case key == "$ref" && isRef:
				out[key] = refer(ref)
			case key == "properties" || key == "definitions":
				named := schema{}
				for name, s := range value.(schema) {
					named[name] = strict(s, refer)
				}
				out[key] = named
			case key == "description" || key == "default" || key == "format" || strings.HasPrefix(key, "x-kubernetes"):
			default:
				out[key] = strict(value, refer)
			}
		}
		_, hasProperties := out["properties"]
		_, open := out["additionalProperties"]
		if hasProperties && !open {
			out["additionalProperties"] = false
		}
		return out
	default:
		return v
	}
}

// writeRoute writes the Gateway API's HTTPRoute, a custom resource.
func writeRoute(out string) error {
	dir, err := source(gatewayAPI)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"))
	if err != nil {
		return err
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPI schema `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		return err
	}
	for _, v := range crd.Spec.Versions {
		if v.Name != "v1" {
			continue
		}
		route, _ := strict(v.Schema.OpenAPI, func(ref string) string { return ref }).(schema)
		route["properties"].(schema)["metadata"] = schema{"type": "object"}
		return write(filepath.Join(out, "httproute-gateway-v1.json"), route)
	}
	return errors.New("the Gateway API has no HTTPRoute v1")
}

func write(file string, s schema) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}
