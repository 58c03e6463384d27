// Command executor-worker runs a pipeline that is written in YAML alone: one
// program for each message. A handler in Go has a main function of its own.
package main

import (
	"os"

	"github.com/drakkar-go/drakkar/app"
)

func main() { os.Exit(app.MainExec()) }
