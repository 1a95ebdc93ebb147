package volume

import (
	"context"
	"fmt"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/limit"
)

func ExampleReader_Read() {
	// Two data columns and one of parity; the object lies split over both data columns.
	store := newFakeStore()
	store.plain[1] = make([]byte, 2*block.Size)
	copy(store.plain[1][100:], "dry stone walls ")
	copy(store.plain[1][block.Size+100:], "need no mortar")
	store.code(exampleTB{}, 1, erasure.Scheme{K: 2, M: 1}, 1)
	object := []*typesv1.Extent{{Volume: 1, Offset: 100, Length: 30, Run: 16}}

	// The second data column is lost.
	store.ail(dead, 1, 1)

	memory, err := limit.NewBytes(limit.BytesOptions{Name: "reads", Budget: 64 << 20})
	if err != nil {
		panic(err)
	}
	reader, err := NewReader(store, store, ReaderOptions{Memory: memory, Pool: new(block.Pool)})
	if err != nil {
		panic(err)
	}
	var text []byte
	err = reader.Read(context.Background(), object, 4, 26, func(p []byte) error {
		text = append(text, p...)
		return nil
	})
	fmt.Println(string(text), err)
	// Output: stone walls need no mortar <nil>
}
