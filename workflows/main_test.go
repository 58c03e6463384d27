package workflows_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// bundle is a window's workflow with activities that a test bends. By default
// every message gets one task, each task one output, and all of it succeeds.
type bundle struct {
	env *testsuite.TestWorkflowEnvironment
	set workflows.Settings

	arrange func(workflows.ArrangeInput) (workflows.Plan, error)
	execute func(workflows.ExecuteInput) (workflows.Outcome, error)
	collect func(workflows.CollectInput) (workflows.Outcome, error)
	deliver func(workflows.DeliverInput) (workflows.DeliverResult, error)

	mu        sync.Mutex
	arranged  [][]int64 // offsets of each call
	executed  []workflows.ExecuteInput
	collected []workflows.CollectInput
	delivered []workflows.DeliverInput
	timers    []time.Duration
}

func setup(t *testing.T) *bundle {
	t.Helper()

	var suite testsuite.WorkflowTestSuite
	b := &bundle{env: suite.NewTestWorkflowEnvironment()}
	b.env.SetTestTimeout(30 * time.Second)
	b.set = workflows.Settings{
		LocalArrange: true, LocalCollect: true, HookMaxAttempts: 3, HookInitialInterval: time.Second,
		HookMaxInterval: time.Minute, HookTimeout: time.Minute, HeartbeatTimeout: 10 * time.Second,
	}
	b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) { return planOf(in.Messages), nil }
	b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) { return succeed(in), nil }
	b.collect = func(workflows.CollectInput) (workflows.Outcome, error) { return workflows.Outcome{}, nil }
	b.deliver = func(in workflows.DeliverInput) (workflows.DeliverResult, error) { return arrived(in), nil }
	b.env.SetOnTimerScheduledListener(func(_ string, d time.Duration) { b.timers = append(b.timers, d) })
	b.register(b.env)
	return b
}

// registry is a test environment or a worker.
type registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

func (b *bundle) register(env registry) {
	wf := &workflows.Workflows{Settings: func() workflows.Settings { return b.set }}
	env.RegisterWorkflowWithOptions(wf.Window, workflow.RegisterOptions{Name: workflows.WindowWorkflow})
	env.RegisterWorkflowWithOptions(wf.Rebalance, workflow.RegisterOptions{Name: workflows.RebalanceWorkflow})
	name := func(n string) activity.RegisterOptions { return activity.RegisterOptions{Name: n} }
	env.RegisterActivityWithOptions(func(_ context.Context, in workflows.ArrangeInput) (workflows.Plan, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.arranged = append(b.arranged, offsetsOf(in.Messages))
		return b.arrange(in)
	}, name(workflows.ArrangeActivity))
	env.RegisterActivityWithOptions(func(_ context.Context, in workflows.ExecuteInput) (workflows.Outcome, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.executed = append(b.executed, in)
		return b.execute(in)
	}, name(workflows.ExecuteActivity))
	env.RegisterActivityWithOptions(func(_ context.Context, in workflows.CollectInput) (workflows.Outcome, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.collected = append(b.collected, in)
		return b.collect(in)
	}, name(workflows.CollectActivity))
	env.RegisterActivityWithOptions(func(_ context.Context, in workflows.DeliverInput) (workflows.DeliverResult, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.delivered = append(b.delivered, in)
		return b.deliver(in)
	}, name(workflows.DeliverActivity))
}

// run runs a window of n messages from offset 100 and returns its result.
func (b *bundle) run(t *testing.T, in workflows.WindowInput) workflows.WindowResult {
	t.Helper()

	b.env.ExecuteWorkflow(workflows.WindowWorkflow, in)
	require.True(t, b.env.IsWorkflowCompleted())
	require.NoError(t, b.env.GetWorkflowError())
	var res workflows.WindowResult
	require.NoError(t, b.env.GetWorkflowResult(&res))
	return res
}

// window is the input of n messages from offset 100.
func window(n int) workflows.WindowInput {
	in := workflows.WindowInput{
		Link:    workflows.Link{Pipeline: "p", Topic: "t", Partition: 3, Epoch: "100-20260101-1", Start: 100},
		TopicID: "abcd", Last: 100 + int64(n) - 1, ProgressInterval: 10 * time.Second,
	}
	for i := range n {
		in.Messages = append(in.Messages, workflows.Message{Offset: 100 + int64(i), Value: drakkar.Bytes(fmt.Sprint(i))})
	}
	return in
}

// planOf gives each message one task, each task a batch of its own.
func planOf(msgs []workflows.Message) workflows.Plan {
	var p workflows.Plan
	for _, m := range msgs {
		p.Batches = append(p.Batches, batchOf(m.Offset))
		p.Tasks++
	}
	return p
}

// batchOf is a batch with one task for each offset.
func batchOf(offsets ...int64) workflows.Batch {
	var b workflows.Batch
	for _, o := range offsets {
		b.Tasks.Items = append(b.Tasks.Items, workflows.TaskSpec{
			Task: drakkar.Task{ID: fmt.Sprintf("3-%d-0", o), SourceOffsets: []int64{o}}, Index: "0", Attempt: 1,
		})
		b.Counts = append(b.Counts, workflows.Count{Offset: o, N: 1})
	}
	b.Tasks.Len = len(offsets)
	return b
}

// succeed settles every task of a batch with one output.
func succeed(in workflows.ExecuteInput) workflows.Outcome {
	out := workflows.Outcome{Settled: in.Batch.Counts, Succeeded: in.Batch.Tasks.Len}
	for _, s := range in.Batch.Tasks.Items {
		out.Outputs.Items = append(out.Outputs.Items, workflows.Output{Payload: sinks.Payload{
			ID: s.ID, Source: drakkar.Source{Offset: s.SourceOffsets[0]},
		}})
		if in.Records {
			out.Records.Items = append(out.Records.Items, workflows.TaskRecord{
				ID: s.ID, Offsets: s.SourceOffsets, Result: &drakkar.Result{},
			})
		}
	}
	out.Outputs.Len, out.Records.Len = len(out.Outputs.Items), len(out.Records.Items)
	return out
}

// arrived accepts everything.
func arrived(in workflows.DeliverInput) workflows.DeliverResult {
	if in.Job != nil {
		n := 0
		for _, r := range in.Job.Items {
			n += int(r.Last-r.First) + 1
		}
		if in.Job.DLQ {
			return workflows.DeliverResult{DeadLettered: n}
		}
		return workflows.DeliverResult{Delivered: n}
	}
	var out workflows.DeliverResult
	for _, l := range in.Outputs {
		out.Delivered += l.Len
	}
	for _, l := range in.Letters {
		out.DeadLettered += l.Len
	}
	return out
}

// buried are all letters that were delivered.
func (b *bundle) buried() []workflows.Letter {
	var out []workflows.Letter
	for _, in := range b.delivered {
		for _, l := range in.Letters {
			out = append(out, l.Items...)
		}
	}
	return out
}

func offsetsOf(msgs []workflows.Message) []int64 {
	out := make([]int64, len(msgs))
	for i, m := range msgs {
		out[i] = m.Offset
	}
	return out
}

func hookError(text string) error {
	return temporal.NewNonRetryableApplicationError(text, workflows.ErrTypeHook, nil)
}

func lostError(text string) error {
	return temporal.NewNonRetryableApplicationError(text, workflows.ErrTypeLost, nil)
}

func letterOffsets(letters []workflows.Letter) []int64 {
	out := make([]int64, len(letters))
	for i, l := range letters {
		out[i] = l.Offset
	}
	slices.Sort(out)
	return out
}

func listOf[T any](items ...T) blobs.List[T] {
	return blobs.List[T]{Items: items, Len: len(items)}
}

func haltError() error {
	return temporal.NewNonRetryableApplicationError("cannot be decoded", workflows.ErrTypeHalt, nil)
}

func registerRebalance(b *bundle, called func()) {
	b.env.RegisterActivityWithOptions(func(context.Context, workflows.RebalanceInput) error {
		called()
		return nil
	}, activity.RegisterOptions{Name: workflows.RebalanceActivity})
}

// onLocal counts the local activities of a name.
func onLocal(name string, n *int) func(*activity.Info, context.Context, []any) {
	return func(info *activity.Info, _ context.Context, _ []any) {
		if info.ActivityType.Name == name {
			*n++
		}
	}
}
