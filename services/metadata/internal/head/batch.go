package head

import (
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// maxBatchWrites are the writes of one transaction: etcd's max-txn-ops is 128 for both levels together, so this many
	// nested transactions, the clock and the epoch leave 26 comparisons to each.
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

// txn is the batch as etcd takes it. The epoch guards all, the clock tells readers that the head moved; the Else branch
// tells up to where it had moved if the epoch has changed.
func (b *batch) txn(name string) ([]clientv3.Cmp, []clientv3.Op, []clientv3.Op) {
	then := make([]clientv3.Op, 0, len(b.ops)+2)
	for _, o := range b.ops {
		then = append(then, o.nested())
	}
	then = append(then, clientv3.OpPut(clockKey, name))
	if b.drops {
		then = append(then, clientv3.OpPut(epochKey, name))
	}
	return []clientv3.Cmp{compareMod(epochKey, b.epoch)}, then, []clientv3.Op{clientv3.OpGet(clockKey, clientv3.WithKeysOnly())}
}

// nested is one write of a batch: it applies or not, alone.
func (o *op) nested() clientv3.Op {
	cmps := make([]clientv3.Cmp, len(o.change.compare))
	for i, c := range o.change.compare {
		if c.below != nil {
			cmps[i] = clientv3.Compare(clientv3.Value(c.key), "<", string(floorValue(c.below)))
		} else {
			cmps[i] = compareMod(c.key, c.mod)
		}
	}
	ops := make([]clientv3.Op, 0, len(o.change.puts)+len(o.change.drops))
	for _, p := range o.change.puts {
		ops = append(ops, clientv3.OpPut(p.Key, string(encodeValue(o.write.ID, p))))
	}
	for _, key := range o.change.drops {
		ops = append(ops, clientv3.OpDelete(key))
	}
	return clientv3.OpTxn(cmps, ops, nil)
}

func compareMod(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", rev)
}

// floorValue is a payload as it stands in etcd in rows that are compared by value: those are written without write id
// and version, so their headers are all the same.
func floorValue(payload []byte) []byte {
	return append(appendHeader(make([]byte, 0, valueHeader+len(payload)), WriteID{}, 0, false), payload...)
}
