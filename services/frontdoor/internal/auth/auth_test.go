package auth

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const token = "correct horse battery staple"

func TestCheck(t *testing.T) {
	a, err := New(token)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		header string
		ok     bool
	}{
		"right":                {"Bearer " + token, true},
		"scheme in small case": {"bearer " + token, true},
		"space around":         {"Bearer  " + token + " ", true},
		"none":                 {"", false},
		"only the scheme":      {"Bearer", false},
		"empty token":          {"Bearer ", false},
		"no scheme":            {token, false},
		"other scheme":         {"Basic " + token, false},
		"prefix of the token":  {"Bearer " + token[:len(token)-1], false},
		"longer token":         {"Bearer " + token + "r", false},
		"other case":           {"Bearer Correct horse battery staple", false},
	} {
		t.Run(name, func(t *testing.T) {
			tenant, err := a.Check(tc.header)
			if tc.ok != (err == nil) || tc.ok != (tenant == RootTenant) {
				t.Fatalf("tenant %q, %v", tenant, err)
			}
			if err != nil && !fault.Is(err, typesv1.Reason_REASON_UNAUTHENTICATED) {
				t.Fatal(err)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		mode    os.FileMode
		ok      bool
	}{
		"token and newline":     {token + "\n", 0o600, true},
		"too short":             {"secret", 0o600, false},
		"empty":                 {"\n", 0o600, false},
		"readable by everybody": {token, 0o644, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(tc.content), tc.mode); err != nil {
				t.Fatal(err)
			}
			a, err := Load(config.SecretFile(path))
			if (err == nil) != tc.ok {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			if _, err := a.Check("Bearer " + token); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestInterceptors(t *testing.T) {
	a, err := New(token)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		method string
		md     metadata.MD
		ok     bool
		tenant string
	}{
		"with the token":    {"/drystone.api.v1.ObjectService/StatObject", metadata.Pairs("authorization", "Bearer "+token), true, RootTenant},
		"without":           {"/drystone.api.v1.ObjectService/StatObject", nil, false, ""},
		"with another":      {"/drystone.api.v1.ObjectService/StatObject", metadata.Pairs("authorization", "Bearer x"), false, ""},
		"the first counts":  {"/drystone.api.v1.ObjectService/StatObject", metadata.Pairs("authorization", "Bearer x", "authorization", "Bearer "+token), false, ""},
		"health":            {"/grpc.health.v1.Health/Check", nil, true, ""},
		"reflection":        {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", nil, true, ""},
		"looks like health": {"/grpc.health.v1.HealthX/Check", nil, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.NewIncomingContext(t.Context(), tc.md)
			var got string
			called := false
			see := func(ctx context.Context) { got, called = Tenant(ctx), true }
			_, unary := a.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: tc.method},
				func(ctx context.Context, _ any) (any, error) { see(ctx); return nil, nil })
			if (unary == nil) != tc.ok || called != tc.ok || got != tc.tenant {
				t.Fatalf("unary: %v, called %v as %q", unary, called, got)
			}
			got, called = "", false
			err := a.Stream(nil, &stream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: tc.method},
				func(_ any, ss grpc.ServerStream) error { see(ss.Context()); return nil })
			if (err == nil) != tc.ok || called != tc.ok || got != tc.tenant {
				t.Fatalf("stream: %v, called %v as %q", err, called, got)
			}
		})
	}
}

func TestOwns(t *testing.T) {
	mine := WithTenant(t.Context(), "me")
	for name, tc := range map[string]struct {
		ctx   context.Context
		owner string
		ok    bool
	}{
		"mine":                {mine, "me", true},
		"another's":           {mine, "you", false},
		"nobody asks":         {t.Context(), "me", false},
		"nobody's, by nobody": {t.Context(), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Owns(tc.ctx, tc.owner); (err == nil) != tc.ok {
				t.Fatal(err)
			}
		})
	}
}
