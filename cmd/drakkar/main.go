// Command drakkar is the operator's tool.
package main

import (
	"fmt"
	"os"

	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/demo"
)

const usage = `usage:
  drakkar demo [flags]           the whole product on this machine, on real input
  drakkar config check FILE      what is wrong with a file of settings
  drakkar config reference       every setting, with meaning, range and default
  drakkar dlq COMMAND            list, show and replay dead letters
  drakkar version                the version of this program
`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	switch append(args, "")[0] {
	case "demo":
		return demo.Command(args[1:], os.Stdout, os.Stderr)
	case "config":
		return config.Command(args[1:], os.Environ(), app.CheckExec, os.Stdout, os.Stderr)
	case "dlq":
		return app.MainDLQ(args[1:], nil)
	case "version", "-version", "--version":
		fmt.Println(app.Version())
		return app.ExitOK
	case "help", "-h", "-help", "--help":
		fmt.Print(usage)
		return app.ExitOK
	}
	fmt.Fprint(os.Stderr, usage)
	return app.ExitUsage
}
