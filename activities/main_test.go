package activities_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/executor"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a handler of which a test bends single hooks.
type echo struct {
	arrange  func(drakkar.Window[string]) ([]drakkar.Task, error)
	complete func(drakkar.Result) (drakkar.CollectResult, error)
	onError  func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction
	message  func(drakkar.MessageGroup[string]) (drakkar.CollectResult, error)
	window   func([]drakkar.Result, []drakkar.Message[string]) (drakkar.CollectResult, error)
	delivery func(drakkar.DeliveryError) drakkar.DeliveryAction
}

func newEcho() *echo {
	return &echo{
		arrange: func(w drakkar.Window[string]) ([]drakkar.Task, error) {
			var tasks []drakkar.Task
			for _, m := range w.Messages {
				tasks = append(tasks, m.Task(m.Payload))
			}
			return tasks, nil
		},
		complete: func(r drakkar.Result) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []byte(r.Stdout)}}}, nil
		},
		onError:  func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { return drakkar.Skip() },
		message:  func(drakkar.MessageGroup[string]) (drakkar.CollectResult, error) { return drakkar.CollectResult{}, nil },
		delivery: func(drakkar.DeliveryError) drakkar.DeliveryAction { return drakkar.DLQ() },
		window: func([]drakkar.Result, []drakkar.Message[string]) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{}, nil
		},
	}
}

func (e *echo) Arrange(_ context.Context, w drakkar.Window[string]) ([]drakkar.Task, error) {
	return e.arrange(w)
}

func (e *echo) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	return e.complete(r)
}

func (e *echo) OnError(_ context.Context, t drakkar.Task, te drakkar.TaskError) drakkar.ErrorAction {
	return e.onError(t, te)
}

func (e *echo) OnMessageComplete(_ context.Context, g drakkar.MessageGroup[string]) (drakkar.CollectResult, error) {
	return e.message(g)
}

func (e *echo) OnWindowComplete(_ context.Context, rs []drakkar.Result, ms []drakkar.Message[string]) (drakkar.CollectResult, error) {
	return e.window(rs, ms)
}

func (e *echo) OnDeliveryError(_ context.Context, de drakkar.DeliveryError) drakkar.DeliveryAction {
	return e.delivery(de)
}

// noHooks is a handler with Arrange alone.
type noHooks struct{ e *echo }

func (n noHooks) Arrange(ctx context.Context, w drakkar.Window[string]) ([]drakkar.Task, error) {
	return n.e.Arrange(ctx, w)
}

// numbers is a handler whose messages are JSON numbers.
type numbers struct{}

func (numbers) Arrange(_ context.Context, w drakkar.Window[int]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		tasks = append(tasks, m.Task())
	}
	return tasks, nil
}

// letterBox is a dead letter queue in memory that can refuse.
type letterBox struct {
	mu      sync.Mutex
	letters []dlq.Envelope
	err     error
	refuse  func(dlq.Envelope) error // some of them
}

func (b *letterBox) Write(_ context.Context, l []dlq.Envelope) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	refused := &sinks.DeliverError{}
	for i, e := range l {
		if b.refuse != nil {
			if err := b.refuse(e); err != nil {
				refused.Failures = append(refused.Failures, sinks.Failure{Index: i, Class: sinks.Transient, Err: err})
				continue
			}
		}
		b.letters = append(b.letters, e)
	}
	if len(refused.Failures) > 0 {
		return refused
	}
	return nil
}

func (b *letterBox) Check(context.Context) error { return nil }
func (b *letterBox) Close(context.Context) error { return nil }

// log is Kafka's log for values that did not travel.
type log map[int64]drakkar.Bytes

func (l log) Read(_ context.Context, topic string, partition int32, offset int64) (drakkar.Record, error) {
	v, ok := l[offset]
	if !ok {
		return drakkar.Record{}, fmt.Errorf("offset %d: %w", offset, activities.ErrRecordGone)
	}
	return drakkar.Record{Topic: topic, Partition: partition, Offset: offset, Value: v}, nil
}

// fillable is a store that can be full.
type fillable struct {
	blobs.Store
	full *atomic.Bool
}

func (f *fillable) Put(ctx context.Context, prefix string, data []byte) (string, error) {
	if f.full.Load() {
		return "", errors.New("no space left")
	}
	return f.Store.Put(ctx, prefix, data)
}

type testBundle struct {
	acts    *activities.Activities
	env     *testsuite.TestActivityEnvironment
	handler *echo
	sink    *sinkstest.Memory
	other   *sinkstest.Memory // sinks.kafka.other, if there is one
	letters *letterBox
	log     log
	store   *blobs.Dir
	full    atomic.Bool // the store takes nothing

	beat converter.EncodedValues // the last heartbeat

	mu     sync.Mutex
	events []events.Event
}

// options bend a bundle before it is built.
type options struct {
	cfg    func(*activities.Config)
	plain  bool // the handler has Arrange alone
	json   bool // the handler's messages are JSON numbers
	policy config.Delivery
	other  config.Delivery // of a second sink; none without MaxAttempts
	binary string

	threshold int // of the breaker; 0 is one that does not open
}

func setup(t *testing.T, o options) *testBundle {
	t.Helper()

	b := &testBundle{handler: newEcho(), sink: sinkstest.NewMemory(), letters: &letterBox{}, log: log{}}
	rec := events.RecorderFunc(func(e events.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	})
	if o.binary == "" {
		o.binary = "/bin/echo"
	}
	pool, err := executor.New(executor.Config{
		Slots: 4, BinaryPath: o.binary, TaskTimeout: 10 * time.Second, KillGrace: 100 * time.Millisecond,
		MaxOutputBytes: 1 << 20, EnvInheritParent: true,
	}, executor.Deps{Events: rec})
	require.NoError(t, err)
	require.NoError(t, pool.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, pool.Stop(context.WithoutCancel(t.Context()))) })
	if o.policy.MaxAttempts == 0 {
		o.policy = config.Delivery{
			OnOpen: "hold", MaxAttempts: 3, InitialInterval: time.Second, MaxInterval: time.Minute,
			Timeout: 5 * time.Second, BatchSize: 100,
		}
	}
	breaker := config.CircuitBreaker{FailureThreshold: cmp.Or(o.threshold, 100), Cooldown: time.Minute}
	instances := []sinks.Instance{{
		Ref: sinks.Ref{Type: sinks.Kafka, Name: "out"}, Sink: b.sink, Target: "results",
		Policy: sinks.Policy{Delivery: o.policy, Breaker: breaker},
	}}
	if o.other.MaxAttempts > 0 {
		b.other = sinkstest.NewMemory()
		instances = append(instances, sinks.Instance{
			Ref: sinks.Ref{Type: sinks.Kafka, Name: "other"}, Sink: b.other, Target: "others",
			Policy: sinks.Policy{Delivery: o.other, Breaker: breaker},
		})
	}
	set, err := sinks.NewSet(instances, rec)
	require.NoError(t, err)
	b.store, err = blobs.NewDir(t.TempDir())
	require.NoError(t, err)

	cfg := activities.Config{
		OnParseError: "dlq", Arrange: "auto", Collect: "auto", HookMaxAttempts: 3,
		HookInitialInterval: time.Second, HookMaxInterval: time.Minute, HookTimeout: 5 * time.Second,
		MaxRetries: 2, RetryInitialInterval: time.Second, RetryMaxInterval: time.Minute,
		MaxReplacementDepth: 3, HeartbeatTimeout: 10 * time.Second,
	}
	if o.cfg != nil {
		o.cfg(&cfg)
	}
	pipeline := drakkar.NewPipeline(b.handler)
	if o.plain {
		pipeline = drakkar.NewPipeline(noHooks{b.handler})
	}
	if o.json {
		pipeline = drakkar.NewPipeline(numbers{})
	}
	b.acts = activities.New(activities.Deps{
		Pipeline: pipeline, Pool: pool, Admission: executor.NewAdmission(4, 2), Sinks: set, DLQ: b.letters,
		Blobs: &fillable{Store: b.store, full: &b.full}, Source: b.log, Events: rec, Log: zap.NewNop(),
		Pending: func(context.Context, string) ([]blobs.List[workflows.TaskSpec], error) {
			return nil, errors.New("no window is open")
		},
	}, cfg)
	var suite testsuite.WorkflowTestSuite
	b.env = suite.NewTestActivityEnvironment()
	b.env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) { b.beat = details })
	for _, a := range []any{b.acts.Arrange, b.acts.Execute, b.acts.Collect, b.acts.Deliver} {
		b.env.RegisterActivity(a)
	}
	return b
}

// run calls an activity and decodes what it returns.
func run[Out any](t *testing.T, b *testBundle, activity, in any) (out Out, err error) {
	t.Helper()

	v, err := b.env.ExecuteActivity(activity, in)
	if err != nil {
		return out, err
	}
	require.NoError(t, v.Get(&out))
	return out, nil
}

// resume lets the next run find what the last one left.
func (b *testBundle) resume(t *testing.T) {
	t.Helper()

	var state any
	require.NotNil(t, b.beat, "the last run left nothing")
	require.NoError(t, b.beat.Get(&state))
	b.env.SetHeartbeatDetails(state)
}

// runLocal calls an activity as a local one.
func runLocal[Out any](t *testing.T, b *testBundle, activity, in any) (out Out, err error) {
	t.Helper()

	v, err := b.env.ExecuteLocalActivity(activity, in)
	if err != nil {
		return out, err
	}
	require.NoError(t, v.Get(&out))
	return out, nil
}

// retry is how often hooks are called.
func retry(n int) workflows.HookRetry {
	return workflows.HookRetry{MaxAttempts: n, InitialInterval: time.Second, MaxInterval: time.Minute}
}

func count(first, last int64, n int) workflows.Count {
	return workflows.Count{First: first, Last: last, N: n}
}

func ref() workflows.WindowRef {
	return workflows.WindowRef{
		Link:    workflows.Link{Pipeline: "p", Topic: "t", Partition: 3, Epoch: "0-20260101-1", Start: 100},
		TopicID: "abcd", Last: 199, InlineLimit: 100 << 10,
	}
}

// messages are values from offset 100.
func messages(values ...string) []workflows.Message {
	out := make([]workflows.Message, len(values))
	for i, v := range values {
		out[i] = workflows.Message{Offset: 100 + int64(i), Value: drakkar.Bytes(v)}
	}
	return out
}

// batch are tasks, one for each message from offset 100.
func batch(tasks ...drakkar.Task) workflows.Batch {
	var b workflows.Batch
	for i, t := range tasks {
		if t.ID == "" {
			t.ID = fmt.Sprintf("3-%d-0", 100+i)
		}
		if t.SourceOffsets == nil {
			t.SourceOffsets = []int64{100 + int64(i)}
		}
		b.Tasks.Items = append(b.Tasks.Items, workflows.TaskSpec{Task: t, Index: "0", Attempt: 1})
	}
	b.Tasks.Len = len(tasks)
	return b
}

func eventsOf[E events.Event](b *testBundle) []E {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []E
	for _, e := range b.events {
		if one, ok := e.(E); ok {
			out = append(out, one)
		}
	}
	return out
}
