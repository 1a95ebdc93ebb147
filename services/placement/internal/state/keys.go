package state

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// Prefix is where all of placement's keys lie.
const Prefix = "p/"

const (
	// clockKey is put by every write transaction; see constraint 1.
	clockKey = Prefix + "clock"
	// clusterKey has the cluster's id; it is created once.
	clusterKey = Prefix + "cluster"
	// etcdKey has the id of the cluster of etcd that the counters counted in. Members may all be replaced, its id stays;
	// a restored snapshot is another cluster.
	etcdKey = Prefix + "etcd"
	// incarnationKey counts the lives of the cluster: a restore begins a new one, so that ids stay unique.
	incarnationKey = Prefix + "incarnation"
	// termKey and volumeKey have the last number given out; a volume's id has the incarnation before it, a term has it in
	// its number.
	termKey   = Prefix + "last/term"
	volumeKey = Prefix + "last/volume"
	// registerKey is put by every change of the register, so that a disk cannot be claimed by two nodes at once.
	registerKey = Prefix + "register"

	nodePrefix   = Prefix + "node/"
	volumePrefix = Prefix + "volume/"
	writerPrefix = Prefix + "writer/"
)

func nodeEntryKey(node string) string   { return nodePrefix + node }
func volumeEntryKey(id uint64) string   { return volumePrefix + hex16(id) }
func writerEntryKey(term uint64) string { return writerPrefix + hex16(term) }

// hex16 has a fixed width, so that keys sort like numbers.
func hex16(n uint64) string { return fmt.Sprintf("%016x", n) }

// parseHex16 reads the number at the end of a key.
func parseHex16(key, prefix string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(key, prefix), 16, 64)
	if err != nil {
		return 0, fmt.Errorf("parse key %q: %w", key, err)
	}
	return n, nil
}

func formatCount(n uint64) string { return strconv.FormatUint(n, 10) }

func parseCount(key string, value []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse value of %s: %w", key, err)
	}
	return n, nil
}

// formatVolume encodes an entry as it is stored: without the revision, which etcd knows.
func formatVolume(v *placementv1.Volume) (string, error) {
	stored := proto.CloneOf(v)
	stored.Revision = 0
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(stored)
	if err != nil {
		return "", fmt.Errorf("encode volume %x: %w", v.GetId(), err)
	}
	return string(text), nil
}

func parseVolume(key string, value []byte, revision int64) (*placementv1.Volume, error) {
	v := &placementv1.Volume{}
	if err := proto.Unmarshal(value, v); err != nil {
		return nil, fmt.Errorf("parse value of %s: %w", key, err)
	}
	v.Revision = revision
	return v, nil
}

func formatNode(n *placementv1.Node) (string, error) {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(n)
	if err != nil {
		return "", fmt.Errorf("encode node %s: %w", n.GetPlace().GetNode(), err)
	}
	return string(text), nil
}

func parseNode(key string, value []byte) (*placementv1.Node, error) {
	n := &placementv1.Node{}
	if err := proto.Unmarshal(value, n); err != nil {
		return nil, fmt.Errorf("parse value of %s: %w", key, err)
	}
	return n, nil
}
