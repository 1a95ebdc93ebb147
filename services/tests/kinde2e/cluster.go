package kinde2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	// release is the Helm release's name, of which the names of objects begin.
	release = "drystone"
	// commandTimeout ends a command that hangs; the longest, an upgrade of everything, takes some minutes.
	commandTimeout = 10 * time.Minute
)

// Options say where the cluster is and what is installed.
type Options struct {
	// Namespace is made, and removed at the end with all disks.
	Namespace string
	// Chart and Values are paths; Helm is the binary.
	Chart, Values, Helm string
	// Tag is what is installed, NextTag, if there is one, what is upgraded to.
	Tag, NextTag string
	// Engine runs the Nodes: docker or podman.
	Engine string
	// AfterStart is a shell command to be run after a Node was started again, AfterLoss one after a claim was given up: where
	// volumes are not made on demand, the administrator of the disks clears the old one.
	AfterStart, AfterLoss string
	// Endpoint is host:port of REST from outside; empty: a Node's address and the node port of values-kind.yaml.
	Endpoint string
	// Only runs the drills whose names contain it.
	Only string
	// Keep leaves the release where it is at the end.
	Keep bool
}

// cluster is the cluster that kubectl talks to.
type cluster struct{ Options }

// run executes a command and returns its standard output.
func run(ctx context.Context, name string, args ...string) (string, error) {
	return runWith(ctx, nil, name, args...)
}

func runWith(ctx context.Context, stdin []byte, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, tail(stdout.String()), tail(stderr.String()))
	}
	return stdout.String(), nil
}

// tail is the end of a long output.
func tail(s string) string {
	const most = 2000
	return s[max(0, len(s)-most):]
}

func (c *cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	return run(ctx, "kubectl", append([]string{"--namespace", c.Namespace}, args...)...)
}

func (c *cluster) helm(ctx context.Context, args ...string) error {
	_, err := run(ctx, c.Helm, append(args, "--namespace", c.Namespace)...)
	return err
}

// upgrade installs or upgrades with values beside those of the file.
func (c *cluster) upgrade(ctx context.Context, tag string, set ...string) error {
	args := []string{"upgrade", "--install", release, c.Chart, "-f", c.Values, "--wait", "--timeout", "8m", "--set", "image.tag=" + tag}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	return c.helm(ctx, args...)
}

// prepare makes the namespace, in which only restricted pods run.
func (c *cluster) prepare(ctx context.Context) error {
	if out, _ := c.kubectl(ctx, "get", "namespace", c.Namespace, "--ignore-not-found", "-o", "name"); out != "" {
		return fmt.Errorf("namespace %s is there already; this run would remove it at its end: remove it first", c.Namespace)
	}
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{
			"name":   c.Namespace,
			"labels": map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"},
		},
	})
	if err != nil {
		return err
	}
	_, err = runWith(ctx, manifest, "kubectl", "apply", "-f", "-")
	return err
}

// remove takes the release, its disks and the namespace away.
func (c *cluster) remove(ctx context.Context) error {
	err := c.helm(ctx, "uninstall", release, "--ignore-not-found", "--wait", "--timeout", "3m")
	_, delErr := run(ctx, "kubectl", "delete", "namespace", c.Namespace, "--wait", "--timeout=3m")
	return errors.Join(err, delErr)
}

// token is the root token, from the Secret.
func (c *cluster) token(ctx context.Context) (string, error) {
	out, err := c.kubectl(ctx, "get", "secret", release+"-root", "-o", "jsonpath={.data.token}")
	if err != nil {
		return "", err
	}
	raw, err := base64.StdEncoding.DecodeString(out)
	return strings.TrimSpace(string(raw)), err
}

// pods lists the pods of a component, sorted.
func (c *cluster) pods(ctx context.Context, component string) ([]string, error) {
	out, err := c.kubectl(ctx, "get", "pods", "-l", "app.kubernetes.io/component="+component, "-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}`)
	names := strings.Fields(out)
	slices.Sort(names)
	return names, err
}

// workers lists the Nodes that have a zone and run chunk-servers.
func (c *cluster) workers(ctx context.Context) ([]string, error) {
	out, err := c.kubectl(ctx, "get", "pods", "-l", "app.kubernetes.io/component=chunkserver", "-o", `jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}`)
	nodes := strings.Fields(out)
	slices.Sort(nodes)
	return slices.Compact(nodes), err
}

// settle waits until everything that the release has is ready and up to date.
func (c *cluster) settle(ctx context.Context) error {
	for _, kind := range []string{"statefulset", "deployment"} {
		out, err := c.kubectl(ctx, "get", kind, "-l", "app.kubernetes.io/instance="+release, "-o", "name")
		if err != nil {
			return err
		}
		for _, name := range strings.Fields(out) {
			if _, err := c.kubectl(ctx, "rollout", "status", name, "--timeout=5m"); err != nil {
				return err
			}
		}
	}
	return nil
}

// endpoint is where REST is reached from outside the cluster.
func (c *cluster) endpoint(ctx context.Context) (string, error) {
	if c.Endpoint != "" {
		return c.Endpoint, nil
	}
	// A Node that no drill touches: one that runs no chunk-server.
	out, err := run(ctx, "kubectl", "get", "nodes", "-l", "node-role.kubernetes.io/control-plane",
		"-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	if err != nil || out == "" {
		return "", errors.Join(err, errors.New("find an address of the control plane"))
	}
	port, err := c.kubectl(ctx, "get", "service", release+"-frontdoor", "-o", `jsonpath={.spec.ports[?(@.name=="rest")].nodePort}`)
	return out + ":" + port, err
}

// stopNode ends a Node's container, startNode starts it again.
func (c *cluster) stopNode(ctx context.Context, node string) error {
	_, err := run(ctx, c.Engine, "stop", "--time", "1", node)
	return err
}

func (c *cluster) startNode(ctx context.Context, node string) error {
	if _, err := run(ctx, c.Engine, "start", node); err != nil {
		return err
	}
	if err := c.shell(ctx, c.AfterStart); err != nil {
		return err
	}
	_, err := run(ctx, "kubectl", "wait", "--for=condition=Ready", "node/"+node, "--timeout=3m")
	return err
}

// shell runs a command that the options may have.
func (c *cluster) shell(ctx context.Context, command string) error {
	if command == "" {
		return nil
	}
	_, err := run(ctx, "sh", "-c", command)
	return err
}

// FromEnvironment are the options of `make kind-e2e`.
func FromEnvironment() Options {
	value := func(name, fallback string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return fallback
	}
	return Options{
		Namespace: value("NAMESPACE", "drystone-e2e"), Chart: "charts/drystone", Values: "charts/drystone/values-kind.yaml",
		Helm: ".bin/helm", Tag: os.Getenv("TAG"), NextTag: os.Getenv("NEXT_TAG"), Engine: value("CONTAINER_ENGINE", "docker"),
		AfterStart: os.Getenv("AFTER_NODE_START"), AfterLoss: os.Getenv("AFTER_CLAIM_LOST"), Endpoint: os.Getenv("ENDPOINT"), Only: os.Getenv("DRILL"), Keep: os.Getenv("KEEP") != "",
	}
}
