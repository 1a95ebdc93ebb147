package rest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/drystone-store/drystone/services/kit/log"
)

func TestMain(m *testing.M) {
	log.QuietLibraries() // as main does
	goleak.VerifyTestMain(m)
}
