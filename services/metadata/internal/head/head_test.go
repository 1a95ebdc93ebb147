package head_test

import (
	"testing"

	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.VerifyTestMain(m) }
