// Package auth decides who a caller is. There is one token so far, the root token, and one tenant.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// RootTenant owns everything as long as the root token is the only one.
	RootTenant = "root"

	// minToken refuses tokens that can be guessed, in bytes.
	minToken = 16
	scheme   = "Bearer"
)

// Authenticator knows the root token, by its hash.
type Authenticator struct {
	root [sha256.Size]byte
}

// Load reads the root token from a file. Errors: an unreadable file, one that everybody may read, a token of under 16
// bytes.
func Load(file config.SecretFile) (*Authenticator, error) {
	token, err := file.Read()
	if err != nil {
		return nil, fmt.Errorf("root token: %w", err)
	}
	return New(string(token))
}

// New makes an Authenticator of a token. Errors: a token of under 16 bytes.
func New(token string) (*Authenticator, error) {
	if len(token) < minToken {
		return nil, fmt.Errorf("root token: %d bytes; it needs at least %d", len(token), minToken)
	}
	return &Authenticator{root: sha256.Sum256([]byte(token))}, nil
}

// Check takes the value of an Authorization header and returns the caller's tenant. The time it takes tells nothing
// about the token: hashes are compared, in constant time. Errors: UNAUTHENTICATED.
func (a *Authenticator) Check(header string) (tenant string, err error) {
	kind, token, _ := strings.Cut(header, " ")
	if header == "" || !strings.EqualFold(kind, scheme) {
		return "", unauthenticated("send a header `Authorization: Bearer <token>`")
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(sum[:], a.root[:]) != 1 {
		return "", unauthenticated("the token is not valid")
	}
	return RootTenant, nil
}

func unauthenticated(why string) error {
	return fault.New(codes.Unauthenticated, typesv1.Reason_REASON_UNAUTHENTICATED, "%s", why)
}

type tenantKey struct{}

// WithTenant marks ctx as acting for a tenant.
func WithTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

// Tenant is for whom ctx acts; empty for nobody, who owns nothing.
func Tenant(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
}

// Owns checks that what belongs to owner belongs to the caller. Errors: ACCESS_DENIED.
func Owns(ctx context.Context, owner string) error {
	if tenant := Tenant(ctx); tenant == "" || tenant != owner {
		return fault.New(codes.PermissionDenied, typesv1.Reason_REASON_ACCESS_DENIED, "the bucket is not yours")
	}
	return nil
}
