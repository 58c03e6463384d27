// Command search is the demo's executor: a handler that answers search requests
// over a source tree with grep.
package main

import (
	"os"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
)

func main() {
	os.Exit(app.Main(drakkar.NewPipeline(&Handler{})))
}
