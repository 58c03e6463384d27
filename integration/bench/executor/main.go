// Command executor is an executor with the bench's handler.
package main

import (
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/integration/bench/handler"
)

// envProfile names the variable of the environment with the file that a CPU
// profile of the process goes to. Empty makes none.
const envProfile = "DRAKKARTEST_BENCH_PROFILE"

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "executor:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run() (int, error) {
	p, err := handler.FromEnvironment()
	if err != nil {
		return 0, err
	}
	path := os.Getenv(envProfile)
	if path == "" {
		return app.Main(p), nil
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, fmt.Errorf("making the profile: %w", err)
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return 0, fmt.Errorf("starting the profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return app.Main(p), nil
}
