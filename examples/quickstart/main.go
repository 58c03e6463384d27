// Command quickstart computes the SHA-256 of every file that a message names.
package main

import (
	"context"
	"os"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
)

type request struct {
	File string `json:"file"`
}

type handler struct{}

// Arrange makes one task, an invocation of sha256sum, for each message.
func (handler) Arrange(_ context.Context, w drakkar.Window[request]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		tasks = append(tasks, m.Task("--", m.Payload.File))
	}
	return tasks, nil
}

// OnTaskComplete sends what the program printed to the one Kafka sink.
func (handler) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: r.Stdout}}}, nil
}

func main() { os.Exit(app.Main(drakkar.NewPipeline(handler{}))) }
