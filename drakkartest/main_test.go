package drakkartest_test

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// order is what messages of these tests hold.
type order struct {
	ID    string   `json:"id"`
	Parts []string `json:"parts"`
}

// handler makes one task of each part; tests bend its hooks.
type handler struct {
	arrange  func(drakkar.Window[order]) ([]drakkar.Task, error)
	onTask   func(context.Context, drakkar.Result) (drakkar.CollectResult, error)
	onError  func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction
	onGroup  func(drakkar.MessageGroup[order]) (drakkar.CollectResult, error)
	onWindow func([]drakkar.Result, []drakkar.Message[order]) (drakkar.CollectResult, error)
}

func (h *handler) Arrange(_ context.Context, w drakkar.Window[order]) ([]drakkar.Task, error) {
	if h.arrange != nil {
		return h.arrange(w)
	}
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		for _, p := range m.Payload.Parts {
			tasks = append(tasks, m.Task(p))
		}
	}
	return tasks, nil
}

func (h *handler) OnTaskComplete(ctx context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	if h.onTask != nil {
		return h.onTask(ctx, r)
	}
	return kafka(r.Task.Args[0] + "=" + r.Stdout.String()), nil
}

func (h *handler) OnError(_ context.Context, t drakkar.Task, e drakkar.TaskError) drakkar.ErrorAction {
	if h.onError != nil {
		return h.onError(t, e)
	}
	return drakkar.DeadLetter()
}

func (h *handler) OnMessageComplete(_ context.Context, g drakkar.MessageGroup[order]) (drakkar.CollectResult, error) {
	if h.onGroup != nil {
		return h.onGroup(g)
	}
	return kafka(fmt.Sprintf("%s: %d of %d", g.Message.Payload.ID, g.Succeeded(), g.Total())), nil
}

func (h *handler) OnWindowComplete(_ context.Context, rs []drakkar.Result, ms []drakkar.Message[order]) (drakkar.CollectResult, error) {
	if h.onWindow != nil {
		return h.onWindow(rs, ms)
	}
	return kafka(fmt.Sprintf("window: %d results, %d messages", len(rs), len(ms))), nil
}

// minimal has no hook but Arrange.
type minimal struct{}

func (minimal) Arrange(_ context.Context, w drakkar.Window[[]string]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		tasks = append(tasks, m.Task(m.Payload...))
	}
	return tasks, nil
}

func kafka(data string) drakkar.CollectResult {
	return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: data}}}
}

func texts(r drakkar.CollectResult) []string {
	var out []string
	for _, p := range r.Kafka {
		out = append(out, p.Data.(string))
	}
	return out
}

// recorder is a test that is allowed to fail.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// Fatalf ends the test, as that of a real one does.
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(stopped{})
}

type stopped struct{}

// failing runs f in a test that is allowed to fail and returns what it said.
func failing(t *testing.T, f func(testing.TB)) []string {
	t.Helper()
	r := &recorder{TB: t}
	func() {
		defer func() {
			if v := recover(); v != nil && v != (stopped{}) {
				panic(v)
			}
		}()
		f(r)
	}()
	return r.failures
}
