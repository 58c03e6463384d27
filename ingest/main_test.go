package ingest

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *runModel {
		os.Exit(exploreModel(flag.Args()))
	}
	goleak.VerifyTestMain(m)
}
