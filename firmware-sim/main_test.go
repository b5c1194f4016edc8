package sim

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write golden files anew")
	goleak.VerifyTestMain(m, goleak.Cleanup(os.Exit))
}
