// Command chaos breaks a pipeline and proves that nothing was lost or repeated;
// see the package chaos.
package main

import (
	"os"

	"github.com/drakkar-go/drakkar/integration/chaos"
)

func main() {
	if chaos.IsMember() {
		os.Exit(chaos.Member())
	}
	os.Exit(chaos.Command(os.Args[1:], os.Stdout, os.Stderr))
}
