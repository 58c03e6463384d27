package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
)

// What Temporal takes of one workflow before it warns.
const (
	historyBytes  = 10 << 20
	historyEvents = 5000
)

// requireSmallHistories fails when a window has come near Temporal's limits,
// and tells the sizes of the largest.
func (h *harness) requireSmallHistories(t *testing.T, c client.Client) {
	t.Helper()

	var events, size int64
	windows := h.windows(t, c)
	require.NotEmpty(t, windows)
	for _, w := range windows {
		events, size = max(events, w.length), max(size, w.bytes)
	}
	t.Logf("largest history: %d events, %d bytes", events, size)
	require.Less(t, events, int64(historyEvents))
	require.Less(t, size, int64(historyBytes))
}

// fan makes as many tasks of a message as it says. Each has an output, and so
// has the message.
type fan struct{}

func (fan) Arrange(_ context.Context, w drakkar.Window[numbered]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		for i := range m.Payload.N {
			t := m.Task(fmt.Sprint("--number=", i), "--and=something that makes an argument long")
			t.Metadata = map[string]any{"i": i}
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

func (fan) Execute(_ context.Context, t drakkar.Task) (drakkar.Result, error) {
	return drakkar.Result{Stdout: drakkar.Bytes(fmt.Sprint("what the program prints about ", t.Metadata["i"]))}, nil
}

func (fan) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: r.Stdout}}}, nil
}

func (fan) OnMessageComplete(_ context.Context, g drakkar.MessageGroup[numbered]) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{Files: []drakkar.FilePayload{{Data: g.Succeeded(), Path: "groups.jsonl"}}}, nil
}

// One message with 10,000 tasks is a window like any other.
//
//nolint:paralleltest // it needs the machine for itself, and its memory is measured by others
func TestLarge_ManyTasks(t *testing.T) {
	const tasks = 10_000
	h := newHarness(t, 1)
	h.cfg.Executor.MaxExecutors = 16
	value, err := json.Marshal(numbered{N: tasks})
	require.NoError(t, err)
	h.send(t, value)
	h.start(t, app.All, drakkar.NewPipeline(fan{}), "all")
	h.awaitCommitted(t, 1)

	all := ids(t, h.topic(t, h.results))
	require.Len(t, slices.Compact(all), tasks)
	require.Equal(t, []string{fmt.Sprint(tasks)}, h.lines(t, "groups.jsonl"))
	h.requireSmallHistories(t, h.temporal(t))
}

// echo sends on what cat makes of the message, byte for byte.
type echo struct{}

func (echo) Deserialize(_ context.Context, r drakkar.Record) (int, error) { return len(r.Value), nil }

func (echo) Arrange(_ context.Context, w drakkar.Window[int]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		t := m.Task()
		t.Stdin = m.Value
		tasks = append(tasks, t)
	}
	return tasks, nil
}

func (echo) OnMessageComplete(_ context.Context, g drakkar.MessageGroup[int]) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []byte(g.Results[0].Stdout)}}}, nil
}

// Values and outputs of 20 MB pass Temporal by.
//
//nolint:paralleltest // it needs the machine for itself, and its memory is measured by others
func TestLarge_Values(t *testing.T) {
	const messages, size = 2, 20_000_000
	h := newHarness(t, 1)
	h.cfg.Executor.MaxOutputBytes = 2 * size
	values := make([][]byte, messages)
	for i := range values {
		values[i] = bytes.Repeat(fmt.Append(nil, i), size)
		values[i][0] = 'v'
	}
	h.send(t, values...)
	h.start(t, app.All, drakkar.NewPipeline(echo{}), "all")
	h.awaitCommitted(t, messages)

	records := h.topic(t, h.results)
	require.Len(t, records, messages)
	slices.SortFunc(records, func(a, b *kafka.Message) int { return bytes.Compare(a.Value, b.Value) })
	for i, r := range records {
		require.True(t, bytes.Equal(values[i], r.Value), "message %d", i)
	}
	require.Empty(t, h.letters(t))
	h.requireSmallHistories(t, h.temporal(t))
}
