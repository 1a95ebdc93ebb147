package proof

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/tests/mesh"
	"github.com/drystone-store/drystone/services/tests/meshtest"
)

// objects is how many are stored and read back.
const objects = 10_000

// fact is what a volume must say of an object without any help.
type fact struct {
	Bucket, Key string
	Size        uint64
	Meta        map[string]string
}

// TestVolumesProveTheirContents stores objects through a mesh, kills everything but the chunk-servers with SIGKILL,
// and reads names, sizes and user metadata back from the records in the volumes.
func TestVolumesProveTheirContents(t *testing.T) {
	if testing.Short() {
		t.Skip("starts twenty processes and stores 10,000 objects")
	}
	m := meshtest.Start(t, mesh.Options{Scheme: "rs-5-4"})
	want := store(t, m)
	for _, service := range []string{"frontdoor", "repair", "metadata", "placement", "etcd"} {
		for _, name := range m.Names(service) {
			if err := m.Kill(t.Context(), name, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	volumes, err := Collect(t.Context(), dial(t, m))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]fact{}
	for found, err := range volumes.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		h := found.Header
		if k := h.GetKind(); k != typesv1.RecordKind_RECORD_KIND_OBJECT && k != typesv1.RecordKind_RECORD_KIND_TAIL {
			continue
		}
		f := fact{h.GetBucket(), h.GetKey(), h.GetObjectSize(), h.GetUserMetadata()}
		if f.Meta == nil {
			f.Meta = map[string]string{}
		}
		got[f.Key] = f
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the volumes' records differ from what was stored (-want +got):\n%.4000s", diff)
	}
	t.Logf("%d objects read back from the records of %d volumes", len(got), len(volumes))
}

// store puts objects of many sizes with user metadata and says what the volumes must know.
func store(t *testing.T, m *mesh.Mesh) map[string]fact {
	t.Helper()
	const bucket, clients = "proof", 32
	meshtest.MustDo(t, m, http.MethodPut, "/v1/buckets/"+bucket, nil, nil, http.StatusOK)
	want := map[string]fact{}
	var mu sync.Mutex
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= objects; i = next.Add(1) {
				f := fact{Bucket: bucket, Key: fmt.Sprintf("dir %d/ключ %d", i%7, i), Size: size(i), Meta: map[string]string{}}
				if i%3 != 0 {
					f.Meta = map[string]string{"number": fmt.Sprint(i), "colour": "stone grey"}
				}
				if err := put(t.Context(), m, f); err != nil {
					t.Errorf("object %d: %v", i, err)
					return
				}
				mu.Lock()
				want[f.Key] = f
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return maps.Clone(want)
}

// size is mostly small, sometimes split, rarely streamed.
func size(i int64) uint64 {
	switch {
	case i%1000 == 0:
		return uint64(6<<20 + i)
	case i%100 == 0:
		return uint64(200_000 + i)
	default:
		return uint64(i % 5000)
	}
}

func put(ctx context.Context, m *mesh.Mesh, f fact) error {
	header := http.Header{}
	for name, value := range f.Meta {
		header.Set("Drystone-Meta-"+name, value)
	}
	path := "/v1/buckets/" + f.Bucket + "/objects/" + strings.ReplaceAll(f.Key, " ", "%20")
	status, text, err := meshtest.Do(ctx, m, http.MethodPut, path, make([]byte, f.Size), header)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, text)
	}
	return err
}

// dial connects to the chunk-servers directly.
func dial(t *testing.T, m *mesh.Mesh) []chunkv1.ChunkServiceClient {
	t.Helper()
	var clients []chunkv1.ChunkServiceClient
	for _, name := range m.Names("chunkserver") {
		conn, err := grpc.NewClient(m.Addr(name), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := conn.Close(); err != nil {
				t.Error(filepath.Base(name), err)
			}
		})
		clients = append(clients, chunkv1.NewChunkServiceClient(conn))
	}
	return clients
}
