package head

import (
	"strconv"
)

// The layout of the head in etcd. README.md has the table; the golden test has examples.
const (
	// Prefix is where everything of the metadata service lies in etcd.
	Prefix = "m/"

	clockKey   = Prefix + "clock"   // put by every transaction of the head: a barrier reads its revision
	compactKey = Prefix + "compact" // the compactor's turn
	epochKey   = Prefix + "epoch"   // put by every purge, compared by every commit

	bucketPrefix   = Prefix + "b/" // bucket name → BucketRow
	bucketIDPrefix = Prefix + "i/" // bucket id → name; stays for ever, so that ids are used once
	versionPrefix  = Prefix + "o/" // bucket id and key → VersionRow, or a tombstone
	tenantPrefix   = Prefix + "t/" // tenant and bucket name → nothing
	floorPrefix    = Prefix + "w/" // writer → smallest term that may commit, 8 bytes big-endian

	// prefixEnd is the first key above every key with Prefix.
	prefixEnd = "m0"
)

// BucketKey is the row of a bucket.
func BucketKey(name string) string { return bucketPrefix + name }

// BucketIDKey is the row that keeps a bucket id taken.
func BucketIDKey(id uint64) string { return bucketIDPrefix + hex16(id) }

// TenantKey is the row that lists a bucket under its tenant. Tenants hold no NUL.
func TenantKey(tenant, bucket string) string { return tenantPrefix + tenant + "\x00" + bucket }

// TenantRange bounds the TenantKeys of one tenant.
func TenantRange(tenant string) (from, to string) {
	return tenantPrefix + tenant + "\x00", tenantPrefix + tenant + "\x01"
}

// VersionKey is the row of an object's current version: bucket ids have a fixed width, so rows lie in the byte order of
// keys.
func VersionKey(bucketID uint64, key string) string {
	return versionPrefix + hex16(bucketID) + "/" + key
}

// VersionRange bounds the VersionKeys of one bucket; len(from) is where the user's key begins.
func VersionRange(bucketID uint64) (from, to string) {
	id := hex16(bucketID)
	return versionPrefix + id + "/", versionPrefix + id + "0" // '0' is '/' + 1
}

// FloorKey is the row of a writer's floor.
func FloorKey(writer string) string { return floorPrefix + writer }

// hex16 is a number as 16 lower-case hex digits: readable in etcdctl, and in numeric order.
func hex16(n uint64) string {
	s := strconv.FormatUint(n, 16)
	return "0000000000000000"[len(s):] + s
}
