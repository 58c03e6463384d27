package workflows_test

import (
	"bytes"
	"cmp"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/executor"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/workflows"
)

// large is a handler of which every step is as large as a test says.
type large struct {
	tasks  int    // of the first message
	output []byte // of each task
	fanIn  bool   // each task serves every message
	runs   bool   // tasks take slots, and so many batches
}

func (l large) Arrange(_ context.Context, w drakkar.Window[drakkar.Bytes]) ([]drakkar.Task, error) {
	out := make([]drakkar.Task, l.tasks)
	for i := range out {
		out[i] = w.Messages[0].Task()
		out[i].Stdin = w.Messages[0].Value
		if l.fanIn {
			for _, m := range w.Messages[1:] {
				out[i].SourceOffsets = append(out[i].SourceOffsets, m.Record.Offset)
			}
		}
		if !l.runs {
			out[i].Precomputed = &drakkar.Precomputed{Stdout: l.output}
		}
	}
	return out, nil
}

func (l large) Execute(context.Context, drakkar.Task) (drakkar.Result, error) {
	return drakkar.Result{Stdout: l.output}, nil
}

func (l large) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []byte(r.Stdout)}}}, nil
}

func (l large) OnMessageComplete(context.Context, drakkar.MessageGroup[drakkar.Bytes]) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{}, nil
}

func (l large) OnWindowComplete(context.Context, []drakkar.Result, []drakkar.Message[drakkar.Bytes]) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{}, nil
}

// log20 is Kafka's log: every value is 20 MB.
type log20 struct{}

func (log20) Read(_ context.Context, topic string, partition int32, offset int64) (drakkar.Record, error) {
	return drakkar.Record{Topic: topic, Partition: partition, Offset: offset, Value: bytes.Repeat([]byte("v"), 20<<20)}, nil
}

// However large a window gets, its history on a real server stays below 10 MiB
// and 5,000 events.
func TestHistory_Limits(t *testing.T) {
	t.Parallel()

	c, _ := servicestest.TemporalClient(t)
	for _, tt := range []struct {
		name      string
		h         large
		messages  int
		coords    bool // the values do not travel
		delivered int
	}{
		{name: "ManyTasksOfOneMessage", h: large{tasks: 10_000, output: []byte("out"), runs: true}, messages: 1, delivered: 10_000},
		{name: "FanIn", h: large{tasks: 2_000, output: []byte("out"), fanIn: true, runs: true}, messages: 500, delivered: 2_000},
		{name: "LargeValuesAndOutputs", h: large{tasks: 1, output: bytes.Repeat([]byte("o"), 20<<20)}, messages: 1, coords: true, delivered: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			in := window(tt.messages)
			in.Pipeline = "limits-" + tt.name + "-" + time.Now().Format("150405.000")
			for i := range in.Messages {
				if tt.coords {
					in.Messages[i].Value, in.Messages[i].Size = nil, 20<<20
				}
			}
			letters := &forget{}
			startLarge(t, c, in.Pipeline, executorOf{handler: drakkar.NewPipeline(tt.h), letters: letters})
			res := withinLimits(t, c, in)
			require.Equal(t, tt.delivered, res.Delivered)
			require.Zero(t, letters.n.Load())
		})
	}
}

// withinLimits runs a window to its end, and looks at what its history took.
func withinLimits(t *testing.T, c client.Client, in workflows.WindowInput) workflows.WindowResult {
	t.Helper()

	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: in.WorkflowID(), TaskQueue: workflows.TaskQueue(in.Pipeline),
	}, workflows.WindowWorkflow, in)
	require.NoError(t, err)
	var res workflows.WindowResult
	require.NoError(t, run.Get(t.Context(), &res))

	d, err := c.DescribeWorkflowExecution(t.Context(), run.GetID(), run.GetRunID())
	require.NoError(t, err)
	size, count := d.GetWorkflowExecutionInfo().GetHistorySizeBytes(), d.GetWorkflowExecutionInfo().GetHistoryLength()
	t.Logf("%d bytes, %d events", size, count)
	require.Less(t, size, int64(10<<20))
	require.Less(t, count, int64(5000))
	return res
}

// executorOf is what an executor of these tests has of its own.
type executorOf struct {
	handler *drakkar.Pipeline
	letters *forget
	sinks   []sinks.Instance // one that accepts everything when there are none

	hookAttempts int           // 3 when it is 0
	hookPause    time.Duration // a second when it is 0
}

// startLarge starts an executor's workers.
func startLarge(t *testing.T, c client.Client, pipeline string, e executorOf) {
	t.Helper()

	pool, err := executor.New(executor.Config{Slots: 8, BinaryPath: "/bin/true", TaskTimeout: time.Minute}, executor.Deps{})
	require.NoError(t, err)
	require.NoError(t, pool.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, pool.Stop(context.WithoutCancel(t.Context()))) })
	if len(e.sinks) == 0 {
		e.sinks = []sinks.Instance{instance("out", sinkstest.NewMemory())}
	}
	set, err := sinks.NewSet(e.sinks, events.Discard)
	require.NoError(t, err)
	store, err := blobs.NewDir(t.TempDir())
	require.NoError(t, err)
	acts := activities.New(activities.Deps{
		Pipeline: e.handler, Pool: pool, Admission: executor.NewAdmission(8, 2), Sinks: set,
		DLQ: e.letters, Blobs: store, Source: log20{}, Events: events.Discard, Log: zap.NewNop(),
	}, activities.Config{
		OnParseError: "dlq", Arrange: "regular", Collect: "regular",
		HookMaxAttempts: cmp.Or(e.hookAttempts, 3), HookInitialInterval: cmp.Or(e.hookPause, time.Second),
		HookMaxInterval: 50 * cmp.Or(e.hookPause, time.Second), HookTimeout: 5 * time.Minute,
		MaxRetries: 3, RetryInitialInterval: 10 * time.Millisecond, RetryMaxInterval: time.Second, MaxReplacementDepth: 3,
		HeartbeatTimeout: 5 * time.Minute,
	})
	wf := &workflows.Workflows{Settings: acts.Settings}
	for _, queue := range []string{workflows.TaskQueue(pipeline), workflows.ExecuteQueue(pipeline)} {
		w := worker.New(c, queue, worker.Options{DeadlockDetectionTimeout: time.Minute})
		w.RegisterWorkflowWithOptions(wf.Window, workflow.RegisterOptions{Name: workflows.WindowWorkflow})
		for name, f := range map[string]any{
			workflows.ArrangeActivity: acts.Arrange, workflows.ExecuteActivity: acts.Execute,
			workflows.CollectActivity: acts.Collect, workflows.DeliverActivity: acts.Deliver,
		} {
			w.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
		}
		require.NoError(t, w.Start())
		t.Cleanup(w.Stop)
	}
}

// instance is a sink that is waited for.
func instance(name string, s sinks.Sink) sinks.Instance {
	return sinks.Instance{
		Ref: sinks.Ref{Type: sinks.Kafka, Name: name}, Sink: s,
		Policy: sinks.Policy{Delivery: config.Delivery{
			OnOpen: "hold", MaxAttempts: 3, InitialInterval: 10 * time.Millisecond, MaxInterval: 100 * time.Millisecond,
			Timeout: time.Minute, BatchSize: 100,
		}},
	}
}
