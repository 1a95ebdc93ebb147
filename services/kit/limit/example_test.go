package limit_test

import (
	"context"
	"fmt"

	"github.com/drystone-store/drystone/services/kit/limit"
)

func ExampleLimiter() {
	limiter, err := limit.NewLimiter(limit.LimiterOptions{Name: "rebuild", Slots: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(limiter.Acquire(context.Background()))
	fmt.Println(limiter.Acquire(context.Background()))
	limiter.Release()
	// Output:
	// <nil>
	// rebuild: 1 operations run and 0 wait
}
