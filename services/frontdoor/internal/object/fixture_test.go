package object_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"
	"time"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/frontdoor/internal/inmemory"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// names is the metadata service without a client: its bucket cache never expires, and commits go one by one.
type names struct {
	*inmemory.Names
	cache map[string]*metadatav1.BucketRow
	// before runs before each commit, and its error is the commit's.
	before func(m *metadatav1.Mutation) error
	asked  int
}

func (n *names) Bucket(ctx context.Context, name string, fresh bool) (*metadatav1.BucketRow, error) {
	if row := n.cache[name]; row != nil && !fresh {
		return row, nil
	}
	resp, err := n.GetBucket(ctx, &metadatav1.GetBucketRequest{Name: name})
	if err != nil {
		return nil, err
	}
	n.cache[name] = resp.GetBucket()
	return resp.GetBucket(), nil
}

func (n *names) Version(ctx context.Context, bucket, key string, version uint64) (*metadatav1.GetVersionResponse, error) {
	n.asked++
	return n.GetVersion(ctx, &metadatav1.GetVersionRequest{Bucket: bucket, Key: key, Version: version})
}

func (n *names) List(ctx context.Context, req *metadatav1.ListVersionsRequest) (*metadatav1.ListVersionsResponse, error) {
	return n.ListVersions(ctx, req)
}

func (n *names) Commit(ctx context.Context, m *metadatav1.Mutation) (uint64, error) {
	if n.before != nil {
		if err := n.before(m); err != nil {
			return 0, err
		}
	}
	resp, err := n.Names.Commit(ctx, &metadatav1.CommitRequest{Mutations: []*metadatav1.Mutation{m}})
	if err != nil {
		return 0, err
	}
	o := resp.GetOutcomes()[0]
	return o.GetVersion(), fault.FromWire(o.GetCode(), o.GetReason(), o.GetMessage())
}

// body is an upload in memory; end is what comes behind its pieces.
type body struct {
	pieces  [][]byte
	end     error
	trailer []*typesv1.Checksum
	asked   int
	// source, if there is one, has the bytes before the pieces.
	source io.Reader
}

func (b *body) Next() ([]byte, error) {
	b.asked++
	if len(b.pieces) == 0 {
		if b.end != nil {
			return nil, b.end
		}
		return nil, io.EOF
	}
	p := b.pieces[0]
	b.pieces = b.pieces[1:]
	return p, nil
}

func (b *body) Trailer() []*typesv1.Checksum { return b.trailer }

func (b *body) Source() io.Reader { return b.source }

// pieces cuts data for a body.
func pieces(data []byte, size int) [][]byte { return slices.Collect(slices.Chunk(data, size)) }

type fixture struct {
	names   *names
	volumes *inmemory.Volumes
	service *object.Service
	ctx     context.Context
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		names:   &names{Names: &inmemory.Names{}, cache: map[string]*metadatav1.BucketRow{}},
		volumes: &inmemory.Volumes{},
		ctx:     auth.WithTenant(t.Context(), auth.RootTenant),
	}
	gates, err := object.NewGates(object.Limits{
		Puts: 4, Gets: 4, Lists: 4, Others: 4, Queue: 4, Wait: time.Second, BodyMemory: 4 << 20,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.service = object.New(object.Deps{Names: f.names, Writer: f.volumes, Reader: f.volumes, Gates: gates})
	f.bucket(t, "b", auth.RootTenant)
	return f
}

func (f *fixture) bucket(t *testing.T, name, tenant string) {
	t.Helper()
	_, err := f.names.CreateBucket(f.ctx, &metadatav1.CreateBucketRequest{Tenant: tenant, Name: name, Scheme: "rs-4-2"})
	if err != nil {
		t.Fatal(err)
	}
}

// collect reads an object; it copies what it is given, as a transport does.
type collect struct {
	head object.Head
	data bytes.Buffer
}

func (c *collect) Head(h object.Head) error {
	c.head = h
	return nil
}

func (c *collect) Data(p []byte) error {
	c.data.Write(p)
	return nil
}

func (f *fixture) read(t *testing.T, key string) []byte {
	t.Helper()
	var c collect
	if err := f.service.Get(f.ctx, &apiv1.GetObjectRequest{Bucket: "b", Key: key}, &c); err != nil {
		t.Fatal(err)
	}
	return c.data.Bytes()
}
