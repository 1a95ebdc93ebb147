package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Secret is a Secret of the client's namespace.
type Secret struct {
	Name   string
	Labels map[string]string
	// Data are its keys; values are raw bytes.
	Data map[string][]byte
	// ResourceVersion is the version that was read; empty for one that is to be created.
	ResourceVersion string
}

// wireSecret is a Secret on the wire, where Data is base64.
type wireSecret struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   meta              `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
}

func (w wireSecret) secret() Secret {
	return Secret{Name: w.Metadata.Name, Labels: w.Metadata.Labels, Data: w.Data, ResourceVersion: w.Metadata.ResourceVersion}
}

// Secret reads a Secret; it needs the right to `get` `secrets`. Errors: ErrNotFound, ErrForbidden, others.
func (c *Client) Secret(ctx context.Context, name string) (Secret, error) {
	return c.secret(ctx, call{method: http.MethodGet, what: "get"}, name)
}

// CreateSecret makes a Secret of type Opaque; it needs the right to `create` `secrets`, which Kubernetes cannot limit to
// names. Errors: ErrExists, ErrForbidden, others. It returns the Secret as it was stored.
func (c *Client) CreateSecret(ctx context.Context, s Secret) (Secret, error) {
	return c.secret(ctx, call{method: http.MethodPost, what: "create", contentType: jsonType, in: wireSecret{
		APIVersion: "v1", Kind: "Secret", Metadata: meta{Name: s.Name, Labels: s.Labels}, Type: "Opaque", Data: s.Data,
	}}, s.Name)
}

// UpdateSecret sets the labels and keys of s in the Secret that was read as s.ResourceVersion; it needs the right to
// `patch` `secrets`. What s does not name stays as it is: other keys, annotations, owners. Errors: ErrConflict when the
// Secret has changed since, ErrNotFound, ErrForbidden, others. It returns the Secret as it was stored.
func (c *Client) UpdateSecret(ctx context.Context, s Secret) (Secret, error) {
	if s.ResourceVersion == "" {
		return Secret{}, fmt.Errorf("kubernetes: patch secret %q: nobody has read which version it has", s.Name)
	}
	return c.secret(ctx, call{method: http.MethodPatch, what: "patch", contentType: "application/merge-patch+json", in: wireSecret{
		Metadata: meta{Labels: s.Labels, ResourceVersion: s.ResourceVersion}, Data: s.Data,
	}}, s.Name)
}

// secret makes one call on a Secret and reads the Secret that is answered.
func (c *Client) secret(ctx context.Context, in call, name string) (Secret, error) {
	if name == "" {
		return Secret{}, errors.New("kubernetes: " + in.what + " a secret: its name is empty")
	}
	in.what = fmt.Sprintf("%s secret %q in namespace %q", in.what, name, c.Namespace())
	in.path = []string{"api", "v1", "namespaces", c.Namespace(), "secrets"}
	if in.method != http.MethodPost {
		in.path = append(in.path, name)
	}
	var out wireSecret
	in.out = &out
	if err := c.do(ctx, in); err != nil {
		return Secret{}, err
	}
	return out.secret(), nil
}
