package app

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/client"

	"github.com/drakkar-go/drakkar/ingest"
)

// startIngest joins the consumer group.
func (a *App) startIngest(ctx context.Context, c client.Client, name string) error {
	in, err := ingest.New(ingest.Options{
		Pipeline: a.cfg.Pipeline, Worker: name, Kafka: a.cfg.Kafka, DLQ: a.cfg.DLQ, Ingest: a.cfg.Ingest, Windows: a.cfg.Windows,
		CancelOld: a.cfg.Reset.CancelOld, WindowSize: a.cfg.Executor.WindowSize, Events: a.rec, Logger: a.log,
		Temporal: ingest.NewTemporal(c, a.cfg.Temporal.Namespace, a.cfg.Pipeline, nil),
	})
	if err != nil {
		return err
	}
	a.addCheck("ingest", in.Ready)
	if err := in.Start(ctx); err != nil {
		return err
	}
	a.ends.push("ingest", in.Stop)
	done := make(chan struct{})
	go func() {
		select {
		case err := <-in.Err():
			a.fail(fmt.Errorf("reading the source topic: %w", err))
		case <-done:
		}
	}()
	a.ends.push("watching ingest", func(context.Context) error { close(done); return nil })
	return nil
}
