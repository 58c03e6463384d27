// Command gen writes the reference of all metrics to the file it is given. Run
// it by go generate, in the folder of package metrics.
package main

import (
	"log"
	"os"

	"github.com/drakkar-go/drakkar/metrics"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gen FILE")
	}
	if err := os.WriteFile(os.Args[1], []byte(metrics.Reference()), 0o644); err != nil {
		log.Fatal(err)
	}
}
