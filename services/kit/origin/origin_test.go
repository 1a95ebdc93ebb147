package origin_test

import (
	"errors"
	"testing"

	"github.com/drystone-store/drystone/services/kit/origin"
)

func TestTheFirstIsTaken(t *testing.T) {
	o := origin.New()
	for _, id := range []uint64{0, 1, 1, 0} {
		if err := o.Check(id); err != nil {
			t.Errorf("check %d: %v", id, err)
		}
	}
	if err := o.Err(); err != nil {
		t.Errorf("found %v", err)
	}
	select {
	case <-o.Broken():
		t.Error("broken by the first")
	default:
	}
	for _, id := range []uint64{2, 3} {
		var foreign *origin.ForeignError
		if err := o.Check(id); !errors.As(err, &foreign) || *foreign != (origin.ForeignError{Began: 1, Answered: id}) {
			t.Errorf("cluster %d: %v", id, err)
		}
	}
	if err := o.Check(1); err != nil {
		t.Errorf("the first one again: %v", err)
	}
	<-o.Broken()
	var foreign *origin.ForeignError
	if err := o.Err(); !errors.As(err, &foreign) || foreign.Answered != 2 {
		t.Errorf("what was found first is forgotten: %v", err)
	}
}
