package state

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
)

// model is the copy of all keys at one revision.
type model struct {
	cluster     string
	incarnation counter
	lastTerm    counter
	lastVolume  counter
	// register is the mod-revision of the register's guard.
	register int64
	// nodes are never written to once they are here: Register shares them.
	nodes   map[string]*placementv1.Node
	writers map[uint64]writer
	volumes *btree.Map[uint64, volume]
	// states counts volumes by state, columns the columns on each disk.
	states  map[placementv1.VolumeState]int64
	columns map[string]int64
}

// counter is a number and the revision at which it was put, which the next write compares.
type counter struct {
	value       uint64
	modRevision int64
}

// writer is a term whose lease is alive.
type writer struct {
	name           string
	lease          clientv3.LeaseID
	createRevision int64
	// seen is when this replica first saw the term. Its monotonic part counts: no host's wall time can end a term.
	seen time.Time
}

// volume is an entry as it is stored: a million of them in encoded form take a quarter of what messages would, and
// whoever asks gets a message of his own.
type volume struct {
	encoded        []byte
	modRevision    int64
	createRevision int64
}

func (v volume) decode(id uint64) (*placementv1.Volume, error) {
	return parseVolume(volumeEntryKey(id), v.encoded, v.modRevision)
}

func newModel() *model {
	return &model{
		nodes:   map[string]*placementv1.Node{},
		writers: map[uint64]writer{},
		volumes: &btree.Map[uint64, volume]{},
		states:  map[placementv1.VolumeState]int64{},
		columns: map[string]int64{},
	}
}

// put applies a key's new value. On an error the key keeps its old one.
func (m *model) put(kv *mvccpb.KeyValue) error {
	key := string(kv.GetKey())
	switch key {
	case clockKey, etcdKey:
		return nil
	case clusterKey:
		m.cluster = string(kv.GetValue())
		return nil
	case incarnationKey:
		return m.incarnation.put(key, kv)
	case termKey:
		return m.lastTerm.put(key, kv)
	case volumeKey:
		return m.lastVolume.put(key, kv)
	case registerKey:
		m.register = kv.GetModRevision()
		return nil
	}
	switch {
	case strings.HasPrefix(key, nodePrefix):
		return m.putNode(key, kv)
	case strings.HasPrefix(key, writerPrefix):
		return m.putWriter(key, kv)
	case strings.HasPrefix(key, volumePrefix):
		return m.putVolume(key, kv)
	}
	return fmt.Errorf("unknown key %q", key)
}

func (c *counter) put(key string, kv *mvccpb.KeyValue) error {
	n, err := parseCount(key, kv.GetValue())
	if err != nil {
		return err
	}
	*c = counter{value: n, modRevision: kv.GetModRevision()}
	return nil
}

func (m *model) putNode(key string, kv *mvccpb.KeyValue) error {
	n, err := parseNode(key, kv.GetValue())
	if err != nil {
		return err
	}
	m.nodes[strings.TrimPrefix(key, nodePrefix)] = n
	return nil
}

func (m *model) putWriter(key string, kv *mvccpb.KeyValue) error {
	term, err := parseHex16(key, writerPrefix)
	if err != nil {
		return err
	}
	m.writers[term] = writer{
		name: string(kv.GetValue()), lease: clientv3.LeaseID(kv.GetLease()),
		createRevision: kv.GetCreateRevision(), seen: clock.Now(),
	}
	return nil
}

func (m *model) putVolume(key string, kv *mvccpb.KeyValue) error {
	id, err := parseHex16(key, volumePrefix)
	if err != nil {
		return err
	}
	now, err := parseVolume(key, kv.GetValue(), kv.GetModRevision())
	if err != nil {
		return err
	}
	before, replaced := m.volumes.Set(id, volume{
		encoded: kv.GetValue(), modRevision: kv.GetModRevision(), createRevision: kv.GetCreateRevision(),
	})
	m.count(now, 1)
	if replaced {
		return m.uncount(id, before)
	}
	return nil
}

// remove applies the end of a key: a lease that ran out, or an entry that was removed.
func (m *model) remove(key string) error {
	switch {
	case strings.HasPrefix(key, writerPrefix):
		term, err := parseHex16(key, writerPrefix)
		if err != nil {
			return err
		}
		delete(m.writers, term)
	case strings.HasPrefix(key, nodePrefix):
		delete(m.nodes, strings.TrimPrefix(key, nodePrefix))
	case strings.HasPrefix(key, volumePrefix):
		id, err := parseHex16(key, volumePrefix)
		if err != nil {
			return err
		}
		if before, had := m.volumes.Delete(id); had {
			return m.uncount(id, before)
		}
	default:
		return fmt.Errorf("key %q was removed", key)
	}
	return nil
}

func (m *model) uncount(id uint64, before volume) error {
	v, err := before.decode(id)
	if err != nil {
		return err
	}
	m.count(v, -1)
	return nil
}

func (m *model) count(v *placementv1.Volume, by int64) {
	m.states[v.GetState()] += by
	for _, member := range v.GetMembers() {
		m.columns[member.GetDisk()] += by
		if m.columns[member.GetDisk()] == 0 {
			delete(m.columns, member.GetDisk())
		}
	}
}
