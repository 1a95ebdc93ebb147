package head

import (
	"encoding/binary"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// maxBatchWrites are the writes of one transaction: etcd's max-txn-ops is 128 for all levels together, so this many,
	// one group more, the clock and the epoch leave 24 rows to each write.
	maxBatchWrites = 100
	// maxBatchBytes keeps a transaction below etcd's request limit of 1.5 MiB.
	maxBatchBytes = 1200 << 10
	// writeOverhead is what a nested transaction costs on the wire beside its keys and values, rounded up.
	writeOverhead = 64
)

// batch is one etcd transaction in the making. All its changes were planned under one epoch, and no two of them write
// the same row: etcd would refuse it or, worse, take a put and a removal of one row.
type batch struct {
	ops    []*op
	bytes  int
	epoch  int64
	drops  bool
	closed bool // a write did not fit any more

	groups []guarded // set by txn
}

func newBatch() *batch { return &batch{ops: make([]*op, 0, maxBatchWrites)} }

func (b *batch) full() bool { return b.closed || len(b.ops) == maxBatchWrites }

// fits says whether the batch is not too large with a change; alone any change fits.
func (b *batch) fits(c *change) bool {
	return len(b.ops) == 0 || b.bytes+c.bytes+writeOverhead <= maxBatchBytes
}

func (b *batch) add(o *op) {
	b.ops = append(b.ops, o)
	b.bytes += o.change.bytes + writeOverhead
	b.epoch = o.change.epoch
	b.drops = b.drops || len(o.change.drops) > 0
}

// txn is the batch as etcd takes it, three levels deep:
//
//	If epoch is as planned
//	Then
//	    for each set of guards: If the guards hold
//	    Then
//	        for each write: If its rows are as planned
//	        Then put or remove them
//	    put clock
//	Else read clock
//
// Writes of one bucket and one writer share their guards, so etcd evaluates those once; a guard that fails takes no
// write with it but those that rest on it. The sizes fit: with g groups and the largest of s writes, g + s exceeds the
// number of writes by one at most.
func (b *batch) txn(name string) ([]clientv3.Cmp, []clientv3.Op, []clientv3.Op) {
	b.group()
	then := make([]clientv3.Op, 0, len(b.groups)+2)
	for _, g := range b.groups {
		writes := make([]clientv3.Op, len(g.ops))
		for i, o := range g.ops {
			writes[i] = clientv3.OpTxn(compareAll(o.change.rows), o.changes(), nil)
		}
		then = append(then, clientv3.OpTxn(compareAll(g.guards), writes, nil))
	}
	then = append(then, clientv3.OpPut(clockKey, name))
	if b.drops {
		then = append(then, clientv3.OpPut(epochKey, name))
	}
	return []clientv3.Cmp{compareMod(epochKey, b.epoch)}, then, []clientv3.Op{clientv3.OpGet(clockKey, clientv3.WithKeysOnly())}
}

// guarded are the writes of a batch that rest on the same guards.
type guarded struct {
	guards []comparison
	ops    []*op
}

// group sorts the writes by their guards, in the order of their first.
func (b *batch) group() {
	index := make(map[string]int)
	var name []byte
	for _, o := range b.ops {
		name = name[:0]
		for _, c := range o.change.guards {
			name = append(append(name, c.key...), 0)
			name = append(binary.BigEndian.AppendUint64(name, uint64(c.mod)), c.below...)
			name = append(name, byte(len(c.below)))
		}
		i, ok := index[string(name)]
		if !ok {
			i = len(b.groups)
			index[string(name)] = i
			b.groups = append(b.groups, guarded{guards: o.change.guards})
		}
		b.groups[i].ops = append(b.groups[i].ops, o)
	}
}

// changes are the puts and removals of one write.
func (o *op) changes() []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(o.change.puts)+len(o.change.drops))
	for _, p := range o.change.puts {
		put := clientv3.OpPut(p.Key, "")
		put.WithValueBytes(encodeValue(o.write.ID, p))
		ops = append(ops, put)
	}
	for _, key := range o.change.drops {
		ops = append(ops, clientv3.OpDelete(key))
	}
	return ops
}

func compareAll(comparisons []comparison) []clientv3.Cmp {
	cmps := make([]clientv3.Cmp, len(comparisons))
	for i, c := range comparisons {
		if c.below != nil {
			cmps[i] = clientv3.Compare(clientv3.Value(c.key), "<", string(floorValue(c.below)))
		} else {
			cmps[i] = compareMod(c.key, c.mod)
		}
	}
	return cmps
}

func compareMod(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", rev)
}

// floorValue is a payload as it stands in etcd in rows that are compared by value: those are written without write id
// and version, so their headers are all the same.
func floorValue(payload []byte) []byte {
	return append(appendHeader(make([]byte, 0, valueHeader+len(payload)), WriteID{}, 0, false), payload...)
}
