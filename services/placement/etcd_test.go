package placement_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/mtls"
	"github.com/drystone-store/drystone/services/kit/mtls/mtlstest"
	"github.com/drystone-store/drystone/services/placement"
	"github.com/drystone-store/drystone/services/placement/internal/etcdtest"
)

func TestEtcdOverTLS(t *testing.T) {
	ours, foreign := mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "foreign")
	endpoint := etcdtest.StartSecure(t, ours).Endpoint(0)
	for _, tt := range []struct {
		name  string
		files mtls.Files
		ok    bool
		told  string // a part of the log
	}{
		{"as it should be", ours.Write(t, t.TempDir(), mtlstest.Leaf{}), true, ""},
		{"another CA", foreign.Write(t, t.TempDir(), mtlstest.Leaf{}), false, "unknown authority"},
		{"without TLS", mtls.Files{}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines strings.Builder
			etcd, err := placement.Etcd{Endpoints: []string{endpoint}, TLS: tt.files}.Dial(slog.New(slog.NewTextHandler(&lines, nil)))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err = etcd.Get(ctx, "k")
			etcd.Close()
			if (err == nil) != tt.ok || !strings.Contains(lines.String(), tt.told) {
				t.Errorf("got %v and\n%s, want %q", err, &lines, tt.told)
			}
		})
	}
	if _, err := (placement.Etcd{Endpoints: []string{endpoint}, TLS: mtls.Files{CA: "/none"}}).Dial(log.Discard()); err == nil {
		t.Error("a part of the files was enough")
	}
}
