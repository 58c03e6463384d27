// Command bench measures a pipeline; see the package bench.
package main

import (
	"os"

	"github.com/drakkar-go/drakkar/integration/bench"
)

func main() { os.Exit(bench.Command(os.Args[1:], os.Stdout, os.Stderr)) }
