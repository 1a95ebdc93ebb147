package state

import (
	"context"
	"maps"

	clientv3 "go.etcd.io/etcd/client/v3"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Register is every registered node by name. The messages are shared with everyone: do not write to them.
func (s *Store) Register() map[string]*placementv1.Node {
	var nodes map[string]*placementv1.Node
	s.mirror.read(func(m *model) { nodes = maps.Clone(m.nodes) })
	return nodes
}

// ChangeRegister writes the nodes that decide returns, if the register is still what decide saw; else it asks again.
// decide may not write to what it sees, and keeps nothing of it. Errors: decide's, UNAVAILABLE.
func (s *Store) ChangeRegister(
	ctx context.Context, decide func(map[string]*placementv1.Node) ([]*placementv1.Node, error),
) error {
	done, err := s.register.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = s.update(ctx, "change_register", func(m *model) (change, error) {
		nodes, err := decide(m.nodes)
		if err != nil || len(nodes) == 0 {
			return change{}, err
		}
		c := change{
			compares: []clientv3.Cmp{unchanged(registerKey, m.register)},
			puts:     []clientv3.Op{clientv3.OpPut(registerKey, "")},
		}
		for _, n := range nodes {
			entry, err := formatNode(n)
			if err != nil {
				return change{}, fault.Bug("change the register: %w", err)
			}
			c.puts = append(c.puts, clientv3.OpPut(nodeEntryKey(n.GetPlace().GetNode()), entry))
		}
		return c, nil
	})
	return err
}

// Node finds a registered node. The message is shared with everyone: do not write to it.
func (s *Store) Node(name string) (*placementv1.Node, bool) {
	var n *placementv1.Node
	s.mirror.read(func(m *model) { n = m.nodes[name] })
	return n, n != nil
}
