// Command customsink brings a sink of its own: it puts every payload into a
// file that another program picks up.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
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

// OnTaskComplete sends what the program printed to the one custom sink.
func (handler) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{Custom: []drakkar.CustomPayload{{Data: r.Stdout, Target: "sums"}}}, nil
}

// openSpool is the constructor for sinks.custom.<name> of the type spool.
func openSpool(_ context.Context, _ string, cfg config.CustomSink) (sinks.Sink, error) {
	return newSpool(cfg.Options["dir"])
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "customsink:", err)
		os.Exit(app.ExitFailed)
	}
}

// run takes the settings from the file that DRAKKAR_CONFIG names.
func run() error {
	cfg, _, err := config.Load(config.LoadOptions{Environ: os.Environ()})
	if err != nil {
		return err
	}
	a, err := app.New(app.Options{
		Config:   cfg,
		Role:     app.All,
		Pipeline: drakkar.NewPipeline(handler{}),
		Sinks:    map[string]app.SinkConstructor{"spool": openSpool},
	})
	if err != nil {
		return err
	}
	return a.Run(context.Background())
}
