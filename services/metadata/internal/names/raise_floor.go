package names

import (
	"context"

	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// RaiseFloor raises a writer's floor to at least `floor` and returns what it is then; it never lowers one. It needs no
// write id: done twice it is done.
func (n *Names) RaiseFloor(ctx context.Context, writer string, floor uint64) (uint64, error) {
	var is uint64
	err := n.commitOne(ctx, head.Write{Key: head.FloorKey(writer), Plan: func(v head.View) (head.Plan, error) {
		current := floorOf(v, writer)
		is = max(current, floor)
		if current >= floor {
			return head.Plan{}, nil
		}
		return head.Plan{Puts: []head.Put{{Key: head.FloorKey(writer), Payload: encodeFloor(floor)}}}, nil
	}})
	if err != nil {
		return 0, err
	}
	return is, nil
}
