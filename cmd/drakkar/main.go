// Command drakkar is the operator's tool.
package main

import (
	"fmt"
	"os"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/demo"
)

const usage = `usage:
  drakkar demo [flags]           the whole product on this machine, on real input
  drakkar config check FILE      what is wrong with a file of settings
  drakkar config reference       every setting, with meaning, range and default
`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "demo":
			return demo.Command(args[1:], os.Stdout, os.Stderr)
		case "config":
			return config.Command(args[1:], os.Environ(), os.Stdout, os.Stderr)
		}
	}
	fmt.Fprint(os.Stderr, usage)
	return 2
}
