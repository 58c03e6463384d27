package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/executor"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// What a task does in one of its runs.
const (
	runFails    = "fails"    // and is repeated
	runReplaced = "replaced" // by two others
	runCut      = "cut"      // by a worker that stops
	runBadHook  = "hook"     // on_task_complete fails, twice on the spot and once later
	runSucceeds = "succeeds"
)

// keyed is a handler that notes which of its tasks run, and in which order.
type keyed struct {
	tasks  map[int64]int       // of each message
	script map[string][]string // what a task does, by id and run
	shared map[int64][]int64   // further messages of a message's first task

	mu      sync.Mutex
	keys    map[int64]string
	runs    map[string]int
	broken  map[string]int // how often the hook of a task still fails
	running map[string]string
	order   map[string][]int64 // lowest messages of a key's tasks as they began
	overlap []string
}

// stopKey finds in a context what stops the worker of a batch.
type stopKey struct{}

func (k *keyed) Arrange(_ context.Context, w drakkar.Window[string]) ([]drakkar.Task, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []drakkar.Task
	for _, m := range slices.Backward(w.Messages) { // the order of Arrange is not that of the messages
		for i := range k.tasks[m.Record.Offset] {
			t := m.Task()
			if also := k.shared[m.Record.Offset]; i == 0 && len(also) > 0 {
				t.SourceOffsets = append(t.SourceOffsets, also...)
			}
			out = append(out, t)
		}
	}
	return out, nil
}

func (k *keyed) Execute(ctx context.Context, t drakkar.Task) (drakkar.Result, error) {
	what := k.begin(t)
	for range 20 {
		runtime.Gosched() // another task of the key would come in here
	}
	k.end(t)
	switch what {
	case runFails, runReplaced:
		return drakkar.Result{}, errors.New(what)
	case runCut:
		stop, ok := ctx.Value(stopKey{}).(context.CancelFunc)
		if !ok {
			return drakkar.Result{}, errors.New("the batch cannot be stopped")
		}
		stop()
		<-ctx.Done()
		return drakkar.Result{}, context.Cause(ctx)
	}
	return drakkar.Result{}, nil
}

func (k *keyed) begin(t drakkar.Task) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keysOf(t) {
		if other, busy := k.running[key]; busy {
			k.overlap = append(k.overlap, fmt.Sprintf("key %q: %s while %s runs", key, t.ID, other))
		}
		k.running[key] = t.ID
		k.order[key] = append(k.order[key], t.SourceOffsets[0])
	}
	n := k.runs[t.ID]
	k.runs[t.ID]++
	if n >= len(k.script[t.ID]) {
		return runSucceeds
	}
	if k.script[t.ID][n] == runBadHook {
		k.broken[t.ID] = 3
	}
	return k.script[t.ID][n]
}

func (k *keyed) end(t drakkar.Task) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keysOf(t) {
		delete(k.running, key)
	}
}

// keysOf are the keys of the task's messages, each once.
func (k *keyed) keysOf(t drakkar.Task) []string {
	var out []string
	for _, o := range t.SourceOffsets {
		if key, ok := k.keys[o]; ok {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (k *keyed) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken[r.Task.ID] > 0 {
		k.broken[r.Task.ID]--
		return drakkar.CollectResult{}, errors.New("not now")
	}
	return drakkar.CollectResult{}, nil
}

func (k *keyed) OnError(_ context.Context, _ drakkar.Task, e drakkar.TaskError) drakkar.ErrorAction {
	if strings.Contains(e.Message+e.Error(), runReplaced) {
		return drakkar.Replace(drakkar.Task{}, drakkar.Task{})
	}
	return drakkar.Retry(time.Second)
}

// forget is a dead letter queue that keeps nothing.
type forget struct{ n atomic.Int64 }

func (f *forget) Write(_ context.Context, l []dlq.Envelope) error { f.n.Add(int64(len(l))); return nil }
func (f *forget) Check(context.Context) error                     { return nil }
func (f *forget) Close(context.Context) error                     { return nil }

// stoppable is Execute on a worker that a task can stop.
func stoppable(acts *activities.Activities) func(context.Context, workflows.ExecuteInput) (workflows.Outcome, error) {
	return func(ctx context.Context, in workflows.ExecuteInput) (workflows.Outcome, error) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		return acts.Execute(context.WithValue(ctx, stopKey{}, stop), in)
	}
}

// newActivities are the real activities around a handler whose tasks run in Go.
func newActivities(t *testing.T, k *keyed, letters *forget) *activities.Activities {
	t.Helper()

	pool, err := executor.New(executor.Config{Slots: 8, BinaryPath: "/bin/true", TaskTimeout: time.Minute}, executor.Deps{})
	require.NoError(t, err)
	require.NoError(t, pool.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, pool.Stop(context.WithoutCancel(t.Context()))) })
	set, err := sinks.NewSet(nil, events.Discard)
	require.NoError(t, err)
	store, err := blobs.NewDir(t.TempDir())
	require.NoError(t, err)
	return activities.New(activities.Deps{
		Pipeline: drakkar.NewPipeline(k), Pool: pool, Admission: executor.NewAdmission(8, 2), Sinks: set,
		DLQ: letters, Blobs: store, Events: events.Discard, Log: zap.NewNop(),
	}, activities.Config{
		OnParseError: "dlq", Arrange: "local", Collect: "auto", OrderByKey: true,
		HookMaxAttempts: 5, HookInitialInterval: time.Second, HookMaxInterval: time.Minute, HookTimeout: time.Minute,
		MaxRetries: 10, RetryInitialInterval: time.Second, RetryMaxInterval: time.Minute, MaxReplacementDepth: 3,
		HeartbeatTimeout: time.Minute,
	})
}

// Whatever happens to tasks, no two of a key run at the same time, and those of
// a message begin when everything of the messages before it, of the same key,
// has settled.
func TestOrderByKey_Property(t *testing.T) {
	t.Parallel()

	k, letters := &keyed{}, &forget{}
	acts := newActivities(t, k, letters)
	rapid.Check(t, func(t *rapid.T) {
		in := drawKeyed(t, k)
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestWorkflowEnvironment()
		env.SetTestTimeout(5 * time.Minute)
		env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute})
		wf := &workflows.Workflows{Settings: acts.Settings}
		env.RegisterWorkflowWithOptions(wf.Window, workflow.RegisterOptions{Name: workflows.WindowWorkflow})
		for name, f := range map[string]any{
			workflows.ArrangeActivity: acts.Arrange, workflows.ExecuteActivity: stoppable(acts),
			workflows.CollectActivity: acts.Collect, workflows.DeliverActivity: acts.Deliver,
		} {
			env.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
		}
		env.ExecuteWorkflow(workflows.WindowWorkflow, in)
		require.NoError(t, env.GetWorkflowError())

		var res workflows.WindowResult
		require.NoError(t, env.GetWorkflowResult(&res))
		k.mu.Lock()
		defer k.mu.Unlock()
		require.Empty(t, k.overlap)
		if len(k.shared) == 0 {
			for key, order := range k.order {
				require.True(t, slices.IsSorted(order), "key %q ran %v", key, order)
			}
		}
		require.Len(t, k.runs, res.Tasks, "each task ran")
		require.Zero(t, letters.n.Load())
	})
}

// drawKeyed draws a window of messages with few keys, and what their tasks do.
// The lock keeps it apart from activities of a former window that ran out of
// time: rapid takes that for a failure like any other and draws again.
func drawKeyed(t *rapid.T, k *keyed) workflows.WindowInput {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tasks, k.script, k.shared = map[int64]int{}, map[string][]string{}, map[int64][]int64{}
	k.keys, k.runs, k.broken = map[int64]string{}, map[string]int{}, map[string]int{}
	k.running, k.order, k.overlap = map[string]string{}, map[string][]int64{}, nil
	n := rapid.IntRange(1, 12).Draw(t, "messages")
	in := window(n)
	what := rapid.SliceOfN(rapid.SampledFrom([]string{runFails, runReplaced, runCut, runBadHook}), 0, 3)
	sharing := rapid.Bool().Draw(t, "sharing")
	for i := range in.Messages {
		m := &in.Messages[i]
		if key := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key"); key != "" {
			m.Key, k.keys[m.Offset] = drakkar.Bytes(key), key
		}
		k.tasks[m.Offset] = rapid.IntRange(0, 3).Draw(t, "tasks")
		for task := range k.tasks[m.Offset] {
			k.script[fmt.Sprintf("3-%d-%d", m.Offset, task)] = what.Draw(t, "script")
		}
		if sharing && i+1 < n && rapid.IntRange(0, 3).Draw(t, "shared") == 0 {
			k.shared[m.Offset] = []int64{100 + rapid.Int64Range(int64(i)+1, int64(n)-1).Draw(t, "also")}
		}
	}
	return in
}
