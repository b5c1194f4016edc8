package rules

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain has property tests draw the same stories each time, so that a change is
// judged by its own faults. With TOCSIN_TORTURE, or -rapid.seed, they are others.
func TestMain(m *testing.M) {
	flag.Parse()
	if seed := flag.Lookup("rapid.seed"); os.Getenv("TOCSIN_TORTURE") == "" && seed.Value.String() == "0" {
		if err := flag.Set("rapid.seed", "20261122"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	os.Exit(m.Run())
}
