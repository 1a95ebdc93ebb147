// Package inmemory has a metadata service and volumes that live in memory, for this module's tests: the real
// interfaces and the real answers, without etcd and disks.
package inmemory

import (
	"context"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Names is a metadata service. Its zero value is empty and ready.
type Names struct {
	metadatav1.UnimplementedMetadataServiceServer

	mu       sync.Mutex
	revision int64
	buckets  map[string]*bucket
	writes   map[string]uint64 // versions by write id
	commits  int
}

type bucket struct {
	row      *metadatav1.BucketRow
	versions map[string][]*metadatav1.VersionRow // by key, the current one last
}

func (b *bucket) current(key string) *metadatav1.VersionRow {
	if all := b.versions[key]; len(all) > 0 && !all[len(all)-1].GetDeleteMarker() {
		return all[len(all)-1]
	}
	return nil
}

// Commits is how many Commit requests were served.
func (n *Names) Commits() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.commits
}

// Objects is how many objects there are.
func (n *Names) Objects() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, b := range n.buckets {
		for key := range b.versions {
			if b.current(key) != nil {
				count++
			}
		}
	}
	return count
}

// CreateBucket implements metadatav1.MetadataServiceServer.
func (n *Names) CreateBucket(
	_ context.Context, req *metadatav1.CreateBucketRequest,
) (*metadatav1.CreateBucketResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.buckets[req.GetName()]; b != nil {
		if b.row.GetTenant() != req.GetTenant() {
			return nil, fault.New(codes.PermissionDenied, typesv1.Reason_REASON_ACCESS_DENIED, "it is another's")
		}
		return &metadatav1.CreateBucketResponse{Bucket: b.row}, nil
	}
	if n.buckets == nil {
		n.buckets = make(map[string]*bucket)
	}
	n.revision++
	b := &bucket{row: &metadatav1.BucketRow{
		Name: req.GetName(), Id: uint64(n.revision), Tenant: req.GetTenant(), Scheme: req.GetScheme(),
		CreatedMs: clock.UnixMilli(), State: metadatav1.BucketState_BUCKET_STATE_OPEN,
	}, versions: make(map[string][]*metadatav1.VersionRow)}
	n.buckets[req.GetName()] = b
	return &metadatav1.CreateBucketResponse{Bucket: b.row}, nil
}

// GetBucket implements metadatav1.MetadataServiceServer.
func (n *Names) GetBucket(_ context.Context, req *metadatav1.GetBucketRequest) (*metadatav1.GetBucketResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, err := n.bucket(req.GetName())
	if err != nil {
		return nil, err
	}
	return &metadatav1.GetBucketResponse{Bucket: b.row, Revision: n.revision}, nil
}

func (n *Names) bucket(name string) (*bucket, error) {
	b := n.buckets[name]
	if b == nil {
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_BUCKET, "there is no bucket of this name")
	}
	return b, nil
}

// ListBuckets implements metadatav1.MetadataServiceServer.
func (n *Names) ListBuckets(
	_ context.Context, req *metadatav1.ListBucketsRequest,
) (*metadatav1.ListBucketsResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	resp := &metadatav1.ListBucketsResponse{}
	for name, b := range n.buckets {
		if b.row.GetTenant() == req.GetTenant() && name > req.GetStartAfter() {
			resp.Buckets = append(resp.Buckets, b.row)
		}
	}
	slices.SortFunc(resp.GetBuckets(), func(a, b *metadatav1.BucketRow) int { return strings.Compare(a.GetName(), b.GetName()) })
	if len(resp.GetBuckets()) > int(req.GetLimit()) {
		resp.Buckets, resp.More = resp.GetBuckets()[:req.GetLimit()], true
	}
	return resp, nil
}

// DeleteBucket implements metadatav1.MetadataServiceServer.
func (n *Names) DeleteBucket(
	_ context.Context, req *metadatav1.DeleteBucketRequest,
) (*metadatav1.DeleteBucketResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.buckets[req.GetName()]
	if b == nil {
		return &metadatav1.DeleteBucketResponse{}, nil
	}
	if b.row.GetTenant() != req.GetTenant() {
		return nil, fault.New(codes.PermissionDenied, typesv1.Reason_REASON_ACCESS_DENIED, "it is another's")
	}
	for key := range b.versions {
		if b.current(key) != nil {
			return nil, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_BUCKET_NOT_EMPTY, "it holds objects")
		}
	}
	n.revision++
	delete(n.buckets, req.GetName())
	return &metadatav1.DeleteBucketResponse{}, nil
}

// Commit implements metadatav1.MetadataServiceServer.
func (n *Names) Commit(_ context.Context, req *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.commits++
	resp := &metadatav1.CommitResponse{}
	for _, m := range req.GetMutations() {
		outcome := &metadatav1.Outcome{}
		version, err := n.apply(m)
		outcome.Code, outcome.Reason, outcome.Message = fault.ToWire(err)
		outcome.Version, outcome.Revision = version, n.revision
		resp.Outcomes = append(resp.Outcomes, outcome)
	}
	return resp, nil
}

func (n *Names) apply(m *metadatav1.Mutation) (version uint64, err error) {
	b, err := n.bucket(m.GetBucket())
	if err != nil {
		return 0, err
	}
	if b.row.GetId() != m.GetBucketId() {
		return 0, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_BUCKET, "the bucket was made anew")
	}
	if before, again := n.writes[string(m.GetRow().GetWriteId())]; again {
		return before, nil
	}
	current := b.current(m.GetKey())
	if !holds(m.GetCondition(), m.GetKey(), current) {
		return 0, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_PRECONDITION_FAILED, "a precondition fails")
	}
	if m.GetRow().GetDeleteMarker() && current == nil {
		return 0, nil
	}
	n.revision++
	const timeShift, clockShift = 20, 8
	version = uint64(clock.UnixMilli())<<timeShift | uint64(n.revision&0xfff)<<clockShift
	row := &metadatav1.VersionRow{
		WriteId: m.GetRow().GetWriteId(), Version: version, Size: m.GetRow().GetSize(), Extents: m.GetRow().GetExtents(),
		ExtentList: m.GetRow().GetExtentList(), ContentType: m.GetRow().GetContentType(),
		UserMetadata: m.GetRow().GetUserMetadata(), Checksum: m.GetRow().GetChecksum(),
		DeleteMarker: m.GetRow().GetDeleteMarker(), Tenant: m.GetRow().GetTenant(), BucketId: m.GetBucketId(),
	}
	b.versions[m.GetKey()] = append(b.versions[m.GetKey()], row)
	if n.writes == nil {
		n.writes = make(map[string]uint64)
	}
	n.writes[string(row.GetWriteId())] = version
	return version, nil
}

func holds(c *metadatav1.Condition, key string, current *metadatav1.VersionRow) bool {
	tag := ""
	if current != nil {
		tag = object.Object{Key: key, Row: current}.ETag()
	}
	if c.GetAbsent() && current != nil {
		return false
	}
	if match := c.GetIfMatch(); len(match) > 0 &&
		(current == nil || !slices.Contains(match, tag) && !slices.Contains(match, "*")) {
		return false
	}
	return current == nil || !slices.Contains(c.GetIfNoneMatch(), tag)
}

// GetVersion implements metadatav1.MetadataServiceServer.
func (n *Names) GetVersion(
	_ context.Context, req *metadatav1.GetVersionRequest,
) (*metadatav1.GetVersionResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, err := n.bucket(req.GetBucket())
	if err != nil {
		return nil, err
	}
	resp := &metadatav1.GetVersionResponse{Bucket: b.row, Revision: n.revision}
	if req.GetVersion() == 0 {
		if resp.Row = b.current(req.GetKey()); resp.GetRow() == nil {
			return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "there is no such key")
		}
		return resp, nil
	}
	for _, v := range b.versions[req.GetKey()] {
		if v.GetVersion() == req.GetVersion() {
			resp.Row = v
			return resp, nil
		}
	}
	return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VERSION, "there is no such version")
}

// ListVersions implements metadatav1.MetadataServiceServer.
func (n *Names) ListVersions(
	_ context.Context, req *metadatav1.ListVersionsRequest,
) (*metadatav1.ListVersionsResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, err := n.bucket(req.GetBucket())
	if err != nil {
		return nil, err
	}
	resp := &metadatav1.ListVersionsResponse{Bucket: b.row}
	last := req.GetStartAfter()
	for _, key := range n.keys(b, req.GetPrefix()) {
		rolled := rollUp(key, req.GetPrefix(), req.GetDelimiter())
		if key <= req.GetStartAfter() || rolled != "" && rolled <= last {
			continue
		}
		if len(resp.GetVersions())+len(resp.GetPrefixes()) == int(req.GetLimit()) {
			resp.Next = last
			return resp, nil
		}
		if last = key; rolled != "" {
			last = rolled
			resp.Prefixes = append(resp.Prefixes, rolled)
			continue
		}
		resp.Versions = append(resp.Versions, &metadatav1.ListedVersion{Key: key, Row: b.current(key)})
	}
	return resp, nil
}

// keys lists a bucket's current keys in order.
func (n *Names) keys(b *bucket, prefix string) []string {
	var keys []string
	for key := range b.versions {
		if b.current(key) != nil && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// rollUp is the common prefix that stands for a key, empty if the key stands for itself.
func rollUp(key, prefix, delimiter string) string {
	if delimiter == "" {
		return ""
	}
	i := strings.Index(key[len(prefix):], delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(prefix)+i+len(delimiter)]
}
