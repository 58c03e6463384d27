package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
)

// numbered is a message of the tests.
type numbered struct {
	N int `json:"n"`
}

// copier runs cat on each message: what comes out is what went in.
type copier struct{}

func (copier) Arrange(_ context.Context, w drakkar.Window[numbered]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		t := m.Task()
		t.Stdin = m.Value
		tasks = append(tasks, t)
	}
	return tasks, nil
}

func (copier) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []byte(r.Stdout)}}}, nil
}

func numberedValues(t *testing.T, n int) [][]byte {
	t.Helper()

	values := make([][]byte, n)
	for i := range values {
		var err error
		values[i], err = json.Marshal(numbered{N: i})
		require.NoError(t, err)
	}
	return values
}

// Two ingests and two executors bring every message to the output topic, once.
func TestPipeline(t *testing.T) {
	t.Parallel()

	const messages = 5000
	h := newHarness(t, 8)
	h.send(t, numberedValues(t, messages)...)
	for i := range 2 {
		h.start(t, app.Executor, drakkar.NewPipeline(copier{}), fmt.Sprintf("executor-%d", i))
	}
	h.start(t, app.Ingest, nil, "ingest-0")
	h.start(t, app.Ingest, nil, "ingest-1") // takes half of the partitions while the first works
	h.awaitCommitted(t, messages)

	records := h.topic(t, h.results)
	all := ids(t, records)
	require.Len(t, all, messages, "lost or doubled")
	require.Len(t, slices.Compact(all), messages, "doubled")
	seen := map[int]bool{}
	for _, m := range records {
		var v numbered
		require.NoError(t, json.Unmarshal(m.Value, &v))
		seen[v.N] = true
	}
	require.Len(t, seen, messages)
	require.Empty(t, h.letters(t))
}

// An executor that stops hands its work back, and nothing runs twice.
func TestPipeline_ExecutorStops(t *testing.T) {
	t.Parallel()

	const messages = 400
	h := newHarness(t, 4)
	h.cfg.Executor.BinaryPath = "/bin/sh"
	h.send(t, numberedValues(t, messages)...)
	h.start(t, app.Ingest, nil, "ingest")
	stop := h.start(t, app.Executor, drakkar.NewPipeline(slow{}), "executor-0")
	require.Eventually(t, func() bool { return h.committed(t.Context()) > 0 }, patience, 20*time.Millisecond)
	h.start(t, app.Executor, drakkar.NewPipeline(slow{}), "executor-1")
	stop()
	h.awaitCommitted(t, messages)

	all := ids(t, h.topic(t, h.results))
	require.Len(t, all, messages)
	require.Len(t, slices.Compact(all), messages)
	require.Len(t, h.lines(t, "ran"), messages, "a task ran twice")
}

// slow is copier with tasks that take a moment and note that they ran.
type slow struct{ copier }

func (slow) Arrange(ctx context.Context, w drakkar.Window[numbered]) ([]drakkar.Task, error) {
	tasks, err := copier{}.Arrange(ctx, w)
	for i := range tasks {
		tasks[i].Args = []string{"-c", "sleep 0.02; cat"}
	}
	return tasks, err
}

func (s slow) OnTaskComplete(ctx context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	out, err := s.copier.OnTaskComplete(ctx, r)
	out.Files = []drakkar.FilePayload{{Data: r.Task.ID, Path: "ran"}}
	return out, err
}
