// Command ingest reads the source topic, opens windows and commits offsets. It
// holds no handler.
package main

import (
	"os"

	"github.com/drakkar-go/drakkar/app"
)

func main() { os.Exit(app.MainIngest()) }
