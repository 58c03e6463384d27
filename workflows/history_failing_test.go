package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// failing is a handler of one message with many tasks, of which a test says in
// which of their runs they fail.
type failing struct {
	tasks int
	fails func(task, run int) bool
	sinks []string // each gets a payload of each task

	hookFails func(task, call int) bool // nil is never

	mu    sync.Mutex
	runs  map[string]int
	calls map[string]int // of the hook
}

func (f *failing) Arrange(_ context.Context, w drakkar.Window[drakkar.Bytes]) ([]drakkar.Task, error) {
	out := make([]drakkar.Task, f.tasks)
	for i := range out {
		out[i] = w.Messages[0].Task()
		out[i].ID = fmt.Sprint(i)
		out[i].Retry = &drakkar.RetryPolicy{MaxAttempts: 3, InitialInterval: 10 * time.Millisecond, MaxInterval: 50 * time.Millisecond}
	}
	return out, nil
}

func (f *failing) Execute(_ context.Context, task drakkar.Task) (drakkar.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	var n int
	if _, err := fmt.Sscan(task.ID, &n); err != nil {
		return drakkar.Result{}, err
	}
	f.runs[task.ID]++
	if f.fails(n, f.runs[task.ID]) {
		return drakkar.Result{}, errors.New("as it was told")
	}
	return drakkar.Result{Stdout: drakkar.Bytes(task.ID)}, nil
}

func (f *failing) OnTaskComplete(_ context.Context, r drakkar.Result) (out drakkar.CollectResult, err error) {
	if f.hookFails != nil {
		f.mu.Lock()
		defer f.mu.Unlock()

		var n int
		if _, err := fmt.Sscan(r.Task.ID, &n); err != nil {
			return out, err
		}
		f.calls[r.Task.ID]++
		if f.hookFails(n, f.calls[r.Task.ID]) {
			return out, errors.New("as it was told")
		}
	}
	for _, s := range f.sinks {
		out.Kafka = append(out.Kafka, drakkar.KafkaPayload{Sink: s, Data: []byte(r.Stdout)})
	}
	return out, nil
}

func (f *failing) OnMessageComplete(context.Context, drakkar.MessageGroup[drakkar.Bytes]) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{}, nil
}

// However many tasks fail, and however often, each is attempted as often as its
// policy says, and the history stays below its limits.
func TestHistory_FailingTasks(t *testing.T) {
	t.Parallel()

	c, _ := servicestest.TemporalClient(t)
	for _, tt := range []struct {
		name              string
		tasks             int
		fails             func(task, run int) bool
		letters, attempts int
	}{
		{
			name: "Always", tasks: 2000, letters: 2000, attempts: 6000,
			fails: func(int, int) bool { return true },
		},
		{
			name: "EachSecondAlwaysEachThirdOnce", tasks: 300, letters: 150, attempts: 150*3 + 50*2 + 100,
			fails: func(task, run int) bool { return task%2 == 0 || task%3 == 0 && run == 1 },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			h := &failing{tasks: tt.tasks, fails: tt.fails, sinks: []string{"out"}, runs: map[string]int{}}
			in := window(1)
			in.Pipeline = "failing-" + tt.name + "-" + time.Now().Format("150405.000")
			letters := &forget{}
			startLarge(t, c, in.Pipeline, executorOf{handler: drakkar.NewPipeline[drakkar.Bytes](h), letters: letters})
			res := withinLimits(t, c, in)
			require.EqualValues(t, tt.letters, letters.n.Load())
			require.Equal(t, tt.letters, res.DeadLettered)
			require.Equal(t, tt.letters, res.Failed)
			require.Equal(t, tt.tasks-tt.letters, res.Delivered)
			attempts := 0
			for _, n := range h.runs {
				attempts += n
			}
			require.Equal(t, tt.attempts, attempts)
		})
	}
}

// Sinks that are away for many rounds are waited for, each apart from the
// others, and the history stays below its limits.
func TestHistory_FailingSinks(t *testing.T) {
	t.Parallel()

	c, _ := servicestest.TemporalClient(t)

	e := executorOf{letters: &forget{}}
	h := &failing{tasks: 2000, fails: func(int, int) bool { return false }, runs: map[string]int{}}
	for _, name := range []string{"a", "b", "c"} {
		m := sinkstest.NewMemory()
		m.FailNext(1000, sinks.Transient, errors.New("away"))
		h.sinks = append(h.sinks, name)
		e.sinks = append(e.sinks, instance(name, m))
	}
	e.handler = drakkar.NewPipeline[drakkar.Bytes](h)
	in := window(1)
	in.Pipeline = "failing-sinks-" + time.Now().Format("150405.000")
	startLarge(t, c, in.Pipeline, e)
	res := withinLimits(t, c, in)
	require.Equal(t, 6000, res.Delivered)
	require.Zero(t, e.letters.n.Load())
}

// Hooks that fail now and then are called again until each has succeeded, none
// of them more often than that, and the history stays below its limits.
func TestHistory_FailingHooks(t *testing.T) {
	t.Parallel()

	c, _ := servicestest.TemporalClient(t)

	const tasks, rounds = 1000, 12
	h := &failing{
		tasks: tasks, fails: func(int, int) bool { return false }, sinks: []string{"out"},
		hookFails: func(task, call int) bool { return call <= task%rounds },
		runs:      map[string]int{}, calls: map[string]int{},
	}
	in := window(1)
	in.Pipeline = "failing-hooks-" + time.Now().Format("150405.000")
	letters := &forget{}
	startLarge(t, c, in.Pipeline, executorOf{
		handler: drakkar.NewPipeline[drakkar.Bytes](h), letters: letters, hookAttempts: rounds + 2, hookPause: time.Millisecond,
	})
	res := withinLimits(t, c, in)
	require.Equal(t, tasks, res.Delivered)
	require.Zero(t, letters.n.Load())
	for id, n := range h.calls {
		var task int
		_, err := fmt.Sscan(id, &task)
		require.NoError(t, err)
		require.Equal(t, task%rounds+1, n)
	}
}
