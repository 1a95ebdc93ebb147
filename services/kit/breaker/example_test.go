package breaker_test

import (
	"errors"
	"fmt"

	"github.com/drystone-store/drystone/services/kit/breaker"
)

func Example() {
	b := breaker.New(breaker.Options{Peer: "node-7", Class: "ReadChunk"})
	for range 6 {
		done, err := b.Allow()
		if err != nil {
			fmt.Println(err)
			return
		}
		done(errors.New("no answer"))
	}
	// Output: node-7 did not serve ReadChunk lately; it is tried again soon
}
