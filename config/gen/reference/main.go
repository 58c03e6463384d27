// Command reference prints docs/configuration.md. It stands apart from gen,
// which must build while what it generates is missing.
package main

import (
	"fmt"

	"github.com/drakkar-go/drakkar/config"
)

func main() { fmt.Print(config.Reference()) }
