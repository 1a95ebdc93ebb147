// Package kube asks the API of the Kubernetes cluster that a process runs in for the few things that Drystone needs: the
// labels of a Node, and Secrets of the pod's own namespace.
//
// Constraints:
//
//  1. Nothing is repeated in here: who calls knows whether a second try is worth its time.
//  2. Every call has a deadline, and every answer a bound.
//  3. The token is read anew for each call, since the kubelet replaces it; it is sent to one address only, whatever
//     redirections and proxies say.
//  4. What changes a Secret names the version that it read (ErrConflict), and touches only what it means to change.
package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// serviceAccount is where the kubelet mounts what a pod needs to talk to the API.
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	// callTimeout bounds a call with everything in it; an API server that is well answers in milliseconds.
	callTimeout = 10 * time.Second
	// maxAnswer bounds an answer. A Secret holds 1 MiB at most, which is a third more in base64.
	maxAnswer = 2 << 20
)

// ErrNotInCluster means that this process does not run in a pod, or that the pod mounts no service-account token.
var ErrNotInCluster = errors.New("not in a Kubernetes pod")

// Options say where an API server is and who asks. InCluster finds them out.
type Options struct {
	// Address is the API server's `host:port`; IPv6 addresses stand in brackets.
	Address string
	// CAFile holds the certificates, PEM, that the server's may be signed with.
	CAFile string
	// TokenFile holds the bearer token.
	TokenFile string
	// Namespace is where the Secrets are.
	Namespace string
}

// Client calls one API server. It is safe for concurrent use and keeps no connection.
type Client struct {
	options Options
	http    *http.Client
}

// InCluster makes a client of the cluster that this pod runs in, with its service account. It does not connect.
// ErrNotInCluster when this is no pod.
func InCluster() (*Client, error) {
	return inFolder(serviceAccount, os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
}

func inFolder(dir, host, port string) (*Client, error) {
	if host == "" || port == "" {
		return nil, fmt.Errorf("%w: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set", ErrNotInCluster)
	}
	namespace, err := os.ReadFile(filepath.Join(dir, "namespace"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: no service account is mounted at %s (automountServiceAccountToken)", ErrNotInCluster, dir)
	case err != nil:
		return nil, fmt.Errorf("read the pod's namespace: %w", err)
	}
	return New(Options{
		Address: net.JoinHostPort(host, port), CAFile: filepath.Join(dir, "ca.crt"), TokenFile: filepath.Join(dir, "token"),
		Namespace: strings.TrimSpace(string(namespace)),
	})
}

// New makes a client. It does not connect. Errors: an empty option, no certificate in the CA file.
func New(o Options) (*Client, error) {
	if o.Address == "" || o.CAFile == "" || o.TokenFile == "" || o.Namespace == "" {
		return nil, errors.New("kubernetes: an address, a CA file, a token file and a namespace are needed")
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the cluster's CA: %s holds no certificate", o.CAFile)
	}
	return &Client{options: o, http: &http.Client{
		Transport: &http.Transport{
			// A pod asks a few times in its life: nothing to keep, and nothing to close.
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Namespace is where this client's Secrets are: in a pod, the pod's own.
func (c *Client) Namespace() string { return c.options.Namespace }

// meta is an object's metadata, as far as it is of use here.
type meta struct {
	Name            string            `json:"name,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
}

// call is one request; in and out are JSON.
type call struct {
	method string
	// what is said in errors: `get node "a"`.
	what        string
	path        []string
	contentType string
	accept      string
	in, out     any
}

const jsonType = "application/json"

func (c *Client) do(ctx context.Context, in call) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	raw, err := c.answer(ctx, in)
	var refused *Error
	switch {
	case errors.As(err, &refused):
		return err // It says itself what was tried.
	case err != nil:
		return fmt.Errorf("kubernetes: %s: %w", in.what, err)
	}
	if err := json.Unmarshal(raw, in.out); err != nil {
		return fmt.Errorf("kubernetes: %s: read the answer: %w", in.what, err)
	}
	return nil
}

func (c *Client) answer(ctx context.Context, in call) ([]byte, error) {
	req, err := c.request(ctx, in)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(raw) > maxAnswer:
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated:
		return nil, refusal(in.what, resp.StatusCode, raw)
	}
	return raw, nil
}

func (c *Client) request(ctx context.Context, in call) (*http.Request, error) {
	token, err := os.ReadFile(c.options.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the service account's token: %w", err)
	}
	if token = bytes.TrimSpace(token); len(token) == 0 {
		return nil, fmt.Errorf("read the service account's token: %s is empty", c.options.TokenFile)
	}
	var body io.Reader
	if in.in != nil {
		raw, err := json.Marshal(in.in)
		if err != nil {
			return nil, fmt.Errorf("make a request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	escaped := make([]string, len(in.path))
	for i, segment := range in.path {
		escaped[i] = url.PathEscape(segment)
	}
	req, err := http.NewRequestWithContext(ctx, in.method, "https://"+c.options.Address+"/"+strings.Join(escaped, "/"), body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	req.Header.Set("Accept", jsonType)
	if in.accept != "" {
		req.Header.Set("Accept", in.accept)
	}
	if body != nil {
		req.Header.Set("Content-Type", in.contentType)
	}
	return req, nil
}
