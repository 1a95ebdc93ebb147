package names_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/metadata/internal/hlc"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
)

func mustMarshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// full is a mutation with every field that a version can have.
func full(b *metadatav1.BucketRow) *metadatav1.Mutation {
	m := put(b, "k", "text/plain")
	m.Row = &metadatav1.VersionRow{
		WriteId: m.GetRow().GetWriteId(), Size: 1 << 30,
		Extents:     []*typesv1.Extent{{Volume: 7, Offset: 1 << 20, Length: 1 << 30, Run: 1 << 20}},
		ExtentList:  &typesv1.Extent{Volume: 8, Length: 99, Run: 33},
		ContentType: "text/plain", UserMetadata: map[string]string{"a": "b"},
		Checksum: &typesv1.Checksum{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		UploadId: []byte("upload"), KeyId: "key", Writer: "w", Term: 5,
	}
	m.OldestTerm = 4
	return m
}

func TestGetVersion(t *testing.T) {
	n, _, _ := onMemory()
	b := mustCreate(t, n, "bucket")
	m := full(b)
	r := mustCommit(t, n, m)
	want := proto.CloneOf(m.GetRow())
	want.Version, want.Tenant, want.BucketId = r.Version, tenant, b.GetId()
	for name, version := range map[string]uint64{"current": 0, "by version": r.Version} {
		found, err := n.GetVersion(t.Context(), "bucket", "k", version)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, found.Row, ignoreProto()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(b, found.Bucket, ignoreProto()); diff != "" || found.Revision < r.Revision {
			t.Errorf("%s: revision %d, bucket (-want +got):\n%s", name, found.Revision, diff)
		}
	}
	mustCommit(t, n, del(b, "gone"))
	for _, c := range []struct {
		name, bucket, key string
		version           uint64
		want              typesv1.Reason
	}{
		{"no bucket", "none", "k", 0, typesv1.Reason_REASON_NO_SUCH_BUCKET},
		{"no key", "bucket", "none", 0, typesv1.Reason_REASON_NO_SUCH_KEY},
		{"deleted key", "bucket", "gone", 0, typesv1.Reason_REASON_NO_SUCH_KEY},
		{"another version", "bucket", "k", r.Version + 1, typesv1.Reason_REASON_NO_SUCH_VERSION},
		{"a version of no key", "bucket", "none", r.Version, typesv1.Reason_REASON_NO_SUCH_VERSION},
	} {
		_, err := n.GetVersion(t.Context(), c.bucket, c.key, c.version)
		t.Run(c.name, func(t *testing.T) { wantReason(t, err, c.want) })
	}
}

// The mutation stays the caller's: it may send it again.
func TestCommitLeavesTheMutationAlone(t *testing.T) {
	n, _, _ := onMemory()
	m := full(mustCreate(t, n, "bucket"))
	before := proto.CloneOf(m)
	mustCommit(t, n, m)
	if diff := cmp.Diff(before, m, ignoreProto()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestETag(t *testing.T) {
	crc := &typesv1.Checksum{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME, Value: []byte{0xab, 0, 0, 0, 0, 0, 0, 1}}
	for _, c := range []struct {
		name string
		row  *metadatav1.VersionRow
		want string
	}{
		{"made", &metadatav1.VersionRow{Checksum: crc, Version: 0x0123456789abcdef}, "ab000000000000010123456789abcdef-0"},
		{"stored", &metadatav1.VersionRow{Checksum: crc, Version: 1, Etag: "d41d8cd98f00b204e9800998ecf8427e"}, "d41d8cd98f00b204e9800998ecf8427e"},
		{"stored with quotes", &metadatav1.VersionRow{Etag: `"x-2"`}, "x-2"},
		{"no checksum", &metadatav1.VersionRow{Version: 15}, "0000000000000000000000000000000f-0"},
	} {
		if got := names.ETag(c.row); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestConditions(t *testing.T) {
	n, _, _ := onMemory()
	b := mustCreate(t, n, "bucket")
	const ok, no = typesv1.Reason_REASON_UNSPECIFIED, typesv1.Reason_REASON_PRECONDITION_FAILED
	type cond = metadatav1.Condition
	for i, c := range []struct {
		name                  string
		cond                  func(etag string) *cond
		present, gone, absent typesv1.Reason
	}{
		{"none", func(string) *cond { return nil }, ok, ok, ok},
		{"absent", func(string) *cond { return &cond{Absent: true} }, no, ok, ok},
		{"if-none-match any", func(string) *cond { return &cond{IfNoneMatch: []string{"*"}} }, no, ok, ok},
		{"if-none-match its own", func(e string) *cond { return &cond{IfNoneMatch: []string{`"x"`, `"` + e + `"`}} }, no, ok, ok},
		{"if-none-match its own, weak", func(e string) *cond { return &cond{IfNoneMatch: []string{`W/"` + e + `"`}} }, no, ok, ok},
		{"if-none-match another", func(string) *cond { return &cond{IfNoneMatch: []string{`"x"`}} }, ok, ok, ok},
		{"if-match any", func(string) *cond { return &cond{IfMatch: []string{"*"}} }, ok, no, no},
		{"if-match its own", func(e string) *cond { return &cond{IfMatch: []string{`"x"`, `"` + e + `"`}} }, ok, no, no},
		{"if-match its own, bare", func(e string) *cond { return &cond{IfMatch: []string{e}} }, ok, no, no},
		{"if-match its own, weak", func(e string) *cond { return &cond{IfMatch: []string{`W/"` + e + `"`}} }, no, no, no},
		{"if-match another", func(string) *cond { return &cond{IfMatch: []string{`"x"`}} }, no, no, no},
		{"if-match and absent", func(string) *cond { return &cond{IfMatch: []string{"*"}, Absent: true} }, no, no, no},
	} {
		for _, verb := range []string{"put", "delete"} {
			t.Run(c.name+"/"+verb, func(t *testing.T) {
				for state, want := range map[string]typesv1.Reason{"present": c.present, "gone": c.gone, "absent": c.absent} {
					key := fmt.Sprint(i, verb, state)
					etag := ""
					if state != "absent" {
						mustCommit(t, n, put(b, key, "before"))
						found, err := n.GetVersion(t.Context(), "bucket", key, 0)
						if err != nil {
							t.Fatal(err)
						}
						etag = names.ETag(found.Row)
					}
					if state == "gone" {
						mustCommit(t, n, del(b, key))
					}
					m := put(b, key, "after")
					if verb == "delete" {
						m = del(b, key)
					}
					m.Condition = c.cond(etag)
					if r := commit(t, n, m); r.Err != nil || want != ok {
						wantReason(t, r.Err, want)
					}
				}
			})
		}
	}
}

// A delete of what is not there writes nothing; one of what is there leaves a tombstone that a later put rises above.
func TestDelete(t *testing.T) {
	n, _, _ := onMemory()
	b := mustCreate(t, n, "bucket")
	nothing := mustCommit(t, n, del(b, "k"))
	if nothing.Version != 0 || nothing.Revision == 0 {
		t.Errorf("delete of nothing: %+v", nothing)
	}
	first := mustCommit(t, n, put(b, "k", "1"))
	gone := mustCommit(t, n, del(b, "k"))
	again := mustCommit(t, n, del(b, "k"))
	second := mustCommit(t, n, put(b, "k", "2"))
	if gone.Version <= first.Version || again.Version != 0 || second.Version <= gone.Version {
		t.Errorf("versions: put %x, delete %x, delete %x, put %x", first.Version, gone.Version, again.Version, second.Version)
	}
}

// Constraint 5.
func TestVersionsRiseWhateverTheClockDoes(t *testing.T) {
	n, _, w := onMemory()
	b := mustCreate(t, n, "bucket")
	last := uint64(0)
	for i, jump := range []time.Duration{0, time.Hour, -59 * time.Minute, 0, time.Second, -time.Minute, time.Hour} {
		w.at = w.at.Add(jump)
		r := mustCommit(t, n, put(b, "k", fmt.Sprint(i)))
		if r.Version <= last {
			t.Errorf("step %d: version %x after %x", i, r.Version, last)
		}
		last = r.Version
	}
	w.at = w.at.Add(-3 * time.Hour)
	r := commit(t, n, put(b, "k", "from the past"))
	wantReason(t, r.Err, typesv1.Reason_REASON_UNAVAILABLE)
	if ms := hlc.Millis(last); ms < w.at.UnixMilli() {
		t.Errorf("the last version is of %d", ms)
	}
}

// Constraint 6.
func TestFloor(t *testing.T) {
	n, _, _ := onMemory()
	b := mustCreate(t, n, "bucket")
	write := func(key string, oldest uint64) error {
		m := full(b)
		m.Key, m.OldestTerm = key, oldest
		return commit(t, n, m).Err
	}
	raise := func(floor, want uint64) {
		t.Helper()
		if got, err := n.RaiseFloor(t.Context(), "w", floor); err != nil || got != want {
			t.Errorf("raise to %d: %d, %v; want %d", floor, got, err, want)
		}
	}
	const ok, fenced = typesv1.Reason_REASON_UNSPECIFIED, typesv1.Reason_REASON_WRITER_FENCED
	wantReason(t, write("a", 1), ok)
	raise(3, 3)
	wantReason(t, write("b", 2), fenced)
	wantReason(t, write("b", 3), ok)
	raise(2, 3)
	raise(3, 3)
	raise(4, 4)
	wantReason(t, write("c", 3), fenced)
	wantReason(t, write("c", 4), ok)
	mustCommit(t, n, put(b, "no extents", ""))
	other := full(b)
	other.Row.Writer, other.OldestTerm = "other", 1
	mustCommit(t, n, other)
}
