package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
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
	arranged  []workflows.ArrangeInput
	executed  []workflows.ExecuteInput
	collected []workflows.CollectInput
	delivered []workflows.DeliverInput
	timers    []time.Duration

	largest, total int // bytes of inputs and results that travelled
}

// travelled notes what an activity was given or returned.
func (b *bundle) travelled(ctx context.Context, v any, input bool) {
	if input && activity.GetInfo(ctx).IsLocalActivity {
		return // stays where it is
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	b.largest, b.total = max(b.largest, len(data)), b.total+len(data)
}

// step makes an activity of a function which a test bends.
func step[In, Out any](b *bundle, seen *[]In, f func(In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		*seen = append(*seen, in)
		b.travelled(ctx, in, true)
		out, err := f(in)
		b.travelled(ctx, out, false)
		return out, err
	}
}

func setup(t *testing.T) *bundle {
	t.Helper()

	var suite testsuite.WorkflowTestSuite
	b := &bundle{env: suite.NewTestWorkflowEnvironment()}
	b.env.SetTestTimeout(5 * time.Minute)
	b.env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // of a loaded machine
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
	env.RegisterActivityWithOptions(step(b, &b.arranged, func(in workflows.ArrangeInput) (workflows.Plan, error) {
		return b.arrange(in)
	}), name(workflows.ArrangeActivity))
	env.RegisterActivityWithOptions(step(b, &b.executed, func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		return b.execute(in)
	}), name(workflows.ExecuteActivity))
	env.RegisterActivityWithOptions(step(b, &b.collected, func(in workflows.CollectInput) (workflows.Outcome, error) {
		return b.collect(in)
	}), name(workflows.CollectActivity))
	env.RegisterActivityWithOptions(step(b, &b.delivered, func(in workflows.DeliverInput) (workflows.DeliverResult, error) {
		return b.deliver(in)
	}), name(workflows.DeliverActivity))
}

// run runs a window of n messages from offset 100 and returns its result.
func (b *bundle) run(t *testing.T, in workflows.WindowInput) workflows.WindowResult {
	t.Helper()

	b.env.ExecuteWorkflow(workflows.WindowWorkflow, in)
	require.True(t, b.env.IsWorkflowCompleted())
	require.NoError(t, b.env.GetWorkflowError())
	var res workflows.WindowResult
	require.NoError(t, b.env.GetWorkflowResult(&res))
	require.Equal(t, in.Last, res.Last)
	res.Last = 0 // the same in every test
	return res
}

// memos are the finished ranges that the window publishes, as JSON.
func (b *bundle) memos(t *testing.T) *[]string {
	t.Helper()

	var memo []string
	b.env.OnUpsertMemo(mock.Anything).Run(func(args mock.Arguments) {
		m, ok := args.Get(0).(map[string]any)
		require.True(t, ok)
		data, err := json.Marshal(m[workflows.MemoFinished])
		require.NoError(t, err)
		memo = append(memo, string(data))
	}).Return(nil)
	return &memo
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
	}
	b.Counts = countsOf(b.Tasks.Items)
	b.Tasks.Len = len(offsets)
	return b
}

// succeed settles every task of a batch with one output.
func succeed(in workflows.ExecuteInput) workflows.Outcome {
	out := workflows.Outcome{Settled: countsOf(in.Batch.Tasks.Items), Succeeded: in.Batch.Tasks.Len}
	for _, s := range in.Batch.Tasks.Items {
		out.Outputs.Items = append(out.Outputs.Items, workflows.Output{Payload: sinks.Payload{
			ID: s.ID, Source: drakkar.Source{Offset: s.SourceOffsets[0]},
		}})
		if in.Records {
			out.Records.Items = append(out.Records.Items, workflows.TaskRecord{
				Task: s.Task, Index: s.Index, Result: &drakkar.Result{},
			})
		}
	}
	out.Outputs.Len, out.Records.Len = len(out.Outputs.Items), len(out.Records.Items)
	return out
}

// repeated is succeed, but for the first attempt at the message's task, which is
// repeated after a pause.
func repeated(offset int64, after time.Duration) func(workflows.ExecuteInput) (workflows.Outcome, error) {
	return func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		s := &in.Batch.Tasks.Items[0]
		if s.SourceOffsets[0] == offset && s.Attempt == 1 {
			s.Attempt++
			in.Batch.After, in.Batch.Counts = after, countsOf(in.Batch.Tasks.Items)
			return workflows.Outcome{FollowUps: []workflows.Batch{in.Batch}}, nil
		}
		return succeed(in), nil
	}
}

// countsOf says how many of the tasks concern each message.
func countsOf(specs []workflows.TaskSpec) workflows.Counts {
	n := map[int64]int{}
	for _, s := range specs {
		for _, o := range s.SourceOffsets {
			n[o]++
		}
	}
	return workflows.CountsOf(n)
}

// one is the range of a single message.
func one(o int64) []workflows.Range { return []workflows.Range{{First: o, Last: o}} }

// arrived accepts everything.
func arrived(in workflows.DeliverInput) workflows.DeliverResult {
	if in.Job != nil {
		n := 0
		for _, r := range in.Job.Items.Items {
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
		out.DeadLettered += len(expanded(l.Items))
	}
	return out
}

// buried are all letters that were delivered.
func (b *bundle) buried() []workflows.Letter {
	var out []workflows.Letter
	for _, in := range b.delivered {
		for _, l := range in.Letters {
			out = append(out, expanded(l.Items)...)
		}
	}
	return out
}

// expanded are letters with one message each.
func expanded(letters []workflows.Letter) []workflows.Letter {
	var out []workflows.Letter
	for _, l := range letters {
		if len(l.Each) == 0 {
			out = append(out, l)
		}
		for _, r := range l.Each {
			for l.Offset = r.First; l.Offset <= r.Last; l.Offset++ {
				out = append(out, l)
			}
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

func notYet() error {
	return temporal.NewApplicationErrorWithOptions("not yet", workflows.ErrTypeNotYet,
		temporal.ApplicationErrorOptions{NextRetryDelay: time.Second})
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

// taskCalls are the hooks of tasks that failed.
func taskCalls(attempts int, specs ...workflows.TaskSpec) workflows.Calls {
	out := workflows.Calls{Tasks: countsOf(specs), Attempts: attempts}
	var offsets []int64
	for _, s := range specs {
		offsets = append(offsets, s.SourceOffsets...)
		out.List.Items = append(out.List.Items, workflows.HookCall{
			Stage: workflows.StageTask, Attempts: attempts, Error: "x", Task: &workflows.TaskCall{Spec: s, Result: &drakkar.Result{}},
		})
	}
	out.List.Len, out.Messages = len(specs), workflows.Ranges(offsets)
	return out
}

// messageCalls are hooks of messages that failed.
func messageCalls(attempts int, offsets ...int64) workflows.Calls {
	out := workflows.Calls{Attempts: attempts, Messages: workflows.Ranges(offsets)}
	for _, o := range offsets {
		out.List.Items = append(out.List.Items, workflows.HookCall{Stage: workflows.StageMessage, Offset: o, Attempts: attempts, Error: "x"})
	}
	out.List.Len = len(offsets)
	return out
}
