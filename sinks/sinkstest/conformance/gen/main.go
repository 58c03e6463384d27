// Command gen writes the page about conformance to the file it is given. Run it
// by go generate, in the folder of package conformance.
package main

import (
	"log"
	"os"

	"github.com/drakkar-go/drakkar/sinks/sinkstest/conformance"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gen FILE")
	}
	results, err := conformance.Results()
	if err == nil {
		err = os.WriteFile(os.Args[1], []byte(conformance.Page(results)), 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}
