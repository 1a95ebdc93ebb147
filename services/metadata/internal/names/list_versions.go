package names

import (
	"context"
	"strings"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// maxPageBytes ends a page early, so that it fits a gRPC message of 4 MiB whatever its rows hold; one row more than
// that fits, too (rows are at most 64 KiB).
const maxPageBytes = 3 << 20

// ListQuery selects a page.
type ListQuery struct {
	Bucket string
	// Prefix that keys have.
	Prefix string
	// Delimiter, if not empty: keys that hold it after the prefix are rolled up to what ends with its first occurrence.
	Delimiter string
	// StartAfter is the key or rolled-up prefix to go on behind; a prefix hides all its keys.
	StartAfter string
	// Limit of versions and prefixes together, at least 1.
	Limit int
}

// Page is one page of a list.
type Page struct {
	Bucket   *metadatav1.BucketRow
	Versions []*metadatav1.ListedVersion
	Prefixes []string
	// Next is the next page's StartAfter, empty on the last one.
	Next string
}

// ListVersions lists current versions in key order. Errors: NO_SUCH_BUCKET, and the index's.
func (n *Names) ListVersions(ctx context.Context, q ListQuery) (Page, error) {
	var bucket *metadatav1.BucketRow
	var l lister
	err := n.index.Read(ctx, func(v head.View) error {
		var err error
		if bucket, err = mustGetBucket(v, q.Bucket); err != nil {
			return err
		}
		l = newLister(q, bucket.GetId())
		if !l.nothing {
			v.Scan(l.first, l.to, l.visit)
		}
		return nil
	})
	if err != nil {
		return Page{}, err
	}
	versions, err := decodeListed(l.rows, len(l.from))
	if err != nil {
		return Page{}, err
	}
	return Page{Bucket: bucket, Versions: versions, Prefixes: l.prefixes, Next: l.next}, nil
}

// lister walks one page. Under the index's lock it only collects rows; they are decoded outside.
type lister struct {
	query    ListQuery
	from, to string // the bucket's rows
	first    string // where the page begins
	nothing  bool   // it would begin behind everything

	rows     []head.Row
	prefixes []string
	bytes    int
	last     string // key or prefix that was listed last
	next     string
}

func newLister(q ListQuery, bucketID uint64) lister {
	l := lister{query: q}
	l.from, l.to = head.VersionRange(bucketID)
	first, ok := firstKey(q)
	l.first, l.nothing = l.from+first, !ok
	return l
}

// firstKey is the smallest key that the page may hold; false if there is none.
func firstKey(q ListQuery) (string, bool) {
	if q.StartAfter < q.Prefix {
		return q.Prefix, true
	}
	if rolled, ok := rollUp(q, q.StartAfter); ok && rolled == q.StartAfter {
		return behind(rolled)
	}
	return q.StartAfter + "\x00", true
}

// visit implements head.View's Scan.
func (l *lister) visit(r head.Row) (seek string, stop bool) {
	key := r.Key[len(l.from):]
	if !strings.HasPrefix(key, l.query.Prefix) {
		return "", true
	}
	if len(l.rows)+len(l.prefixes) == l.query.Limit || l.bytes > maxPageBytes {
		l.next = l.last
		return "", true
	}
	rolled, ok := rollUp(l.query, key)
	if !ok {
		l.rows = append(l.rows, r)
		l.bytes += len(key) + len(r.Payload)
		l.last = key
		return "", false
	}
	l.prefixes = append(l.prefixes, rolled)
	l.bytes += len(rolled)
	l.last = rolled
	next, ok := behind(rolled)
	return l.from + next, !ok
}

// rollUp is the prefix that a key is listed as, if it is not listed itself.
func rollUp(q ListQuery, key string) (string, bool) {
	if q.Delimiter == "" || !strings.HasPrefix(key, q.Prefix) {
		return "", false
	}
	i := strings.Index(key[len(q.Prefix):], q.Delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(q.Prefix)+i+len(q.Delimiter)], true
}

// behind is the smallest string above all strings that begin with p; false if there is none.
func behind(p string) (string, bool) {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0xff {
			return p[:i] + string([]byte{p[i] + 1}), true
		}
	}
	return "", false
}

func decodeListed(rows []head.Row, skip int) ([]*metadatav1.ListedVersion, error) {
	listed := make([]*metadatav1.ListedVersion, len(rows))
	d := newDecoder(len(rows))
	for i, r := range rows {
		v, err := d.decode(r)
		if err != nil {
			return nil, err
		}
		v.Key = r.Key[skip:]
		listed[i] = v
	}
	return listed, nil
}
