package integration_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// build is a handler that tells which build ended a message. Its task for
// message 0 does not end before the gate is open.
type build struct {
	name string
	gate chan struct{}
}

type built struct {
	N     int    `json:"n"`
	Build string `json:"build"`
}

func (b build) Arrange(_ context.Context, w drakkar.Window[numbered]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		t := m.Task()
		t.Metadata = map[string]any{"n": m.Payload.N}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

func (b build) Execute(ctx context.Context, t drakkar.Task) (drakkar.Result, error) {
	if n, _ := t.Metadata["n"].(float64); n != 0 {
		return drakkar.Result{}, nil
	}
	select {
	case <-b.gate:
		return drakkar.Result{}, nil
	case <-ctx.Done():
		return drakkar.Result{}, context.Cause(ctx)
	}
}

func (b build) OnMessageComplete(_ context.Context, g drakkar.MessageGroup[numbered]) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: built{N: g.Message.Payload.N, Build: b.name}}}}, nil
}

// builds are which build ended which message.
func (h *harness) builds(t *testing.T) map[int]string {
	t.Helper()

	out := map[int]string{}
	for _, m := range h.topic(t, h.results) {
		var v built
		require.NoError(t, json.Unmarshal(m.Value, &v))
		out[v.N] = v.Build
	}
	return out
}

func (h *harness) temporal(t *testing.T) client.Client {
	t.Helper()

	c, err := client.Dial(client.Options{
		HostPort: h.cfg.Temporal.Address, Namespace: h.cfg.Temporal.Namespace,
		ConnectionOptions: client.ConnectionOptions{GetSystemInfoTimeout: time.Minute}, // of a busy machine
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// awaitCurrent waits until new windows go to a build.
func (h *harness) awaitCurrent(t *testing.T, c client.Client, want string) {
	t.Helper()

	deployment := c.WorkerDeploymentClient().GetHandle(h.cfg.Pipeline)
	require.Eventually(t, func() bool {
		d, err := deployment.Describe(t.Context(), client.WorkerDeploymentDescribeOptions{})
		return err == nil && d.Info.RoutingConfig.CurrentVersion != nil && d.Info.RoutingConfig.CurrentVersion.BuildID == want
	}, patience, 100*time.Millisecond)
}

// Executors of two builds side by side: new windows go to the newer build, and
// the setting says who ends those that are open.
func TestUpgrade(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		versioning string
		open       string // the build that ends the open window
	}{
		{"pinned", "old"},
		{"auto_upgrade", "new"},
	} {
		t.Run(tt.versioning, func(t *testing.T) {
			t.Parallel()

			h := newHarness(t, 1)
			c := h.temporal(t)
			h.cfg.Temporal.Versioning = tt.versioning
			gate := make(chan struct{})
			start := func(name string) (stop func()) {
				cfg := *h.cfg
				cfg.Temporal.BuildID = name
				other := *h
				other.cfg = &cfg
				return other.start(t, app.Executor, drakkar.NewPipeline(build{name: name, gate: gate}), name)
			}
			start("old")
			h.awaitCurrent(t, c, "old")
			h.start(t, app.Ingest, nil, "ingest")
			values := numberedValues(t, 3)
			h.send(t, values[0])
			require.Eventually(t, func() bool { return h.openWindows(t, c) == 1 }, patience, 100*time.Millisecond)

			start("new")
			h.awaitCurrent(t, c, "new")
			h.send(t, values[1])
			require.Eventually(t, func() bool { return h.builds(t)[1] == "new" }, patience, 250*time.Millisecond)

			// One more executor of the old build, as after a restart in the
			// middle of the upgrade, takes nothing back.
			start("old")
			h.send(t, values[2])
			require.Eventually(t, func() bool { return h.builds(t)[2] != "" }, patience, 250*time.Millisecond)
			close(gate)
			h.awaitCommitted(t, 3)
			require.Equal(t, map[int]string{0: tt.open, 1: "new", 2: "new"}, h.builds(t))
			h.awaitCurrent(t, c, "new")
		})
	}
}

// openWindows counts the windows of the pipeline whose tasks have been arranged.
func (h *harness) openWindows(t *testing.T, c client.Client) int {
	t.Helper()

	open := 0
	for _, info := range h.windows(t, c) {
		if info.status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING && info.length > 5 {
			open++
		}
	}
	return open
}

type windowInfo struct {
	id     string
	status enumspb.WorkflowExecutionStatus
	length int64 // events
	bytes  int64
}

func (h *harness) windows(t *testing.T, c client.Client) (out []windowInfo) {
	t.Helper()

	list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
		Query: "WorkflowType = '" + workflows.WindowWorkflow + "' AND TaskQueue = '" + workflows.TaskQueue(h.cfg.Pipeline) + "'",
	})
	require.NoError(t, err)
	for _, e := range list.GetExecutions() {
		d, err := c.DescribeWorkflowExecution(t.Context(), e.GetExecution().GetWorkflowId(), "")
		require.NoError(t, err)
		out = append(out, windowInfo{
			id: e.GetExecution().GetWorkflowId(), status: d.GetWorkflowExecutionInfo().GetStatus(),
			length: d.GetWorkflowExecutionInfo().GetHistoryLength(),
			bytes:  d.GetWorkflowExecutionInfo().GetHistorySizeBytes(),
		})
	}
	return out
}

// failures remembers which steps of workflows could not be made.
type failures struct {
	mu      sync.Mutex
	reasons map[string]int
}

// Record implements events.Recorder.
func (f *failures) Record(e events.Event) {
	failed, ok := e.(events.WorkflowTaskFailed)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reasons[failed.Workflow+" "+failed.Reason]++
}

func (f *failures) count(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reasons[key]
}

// A window whose history was made with other code stands still, and is told
// about; the others flow on. Reset to its beginning it runs with today's code.
func TestUpgrade_OtherCode(t *testing.T) {
	t.Parallel()

	h := newHarness(t, 1)
	c := h.temporal(t)
	w := worker.New(c, workflows.TaskQueue(h.cfg.Pipeline), worker.Options{})
	other := func(ctx workflow.Context, _ any) error { return workflow.Sleep(ctx, time.Hour) }
	w.RegisterWorkflowWithOptions(other, workflow.RegisterOptions{Name: workflows.WindowWorkflow})
	require.NoError(t, w.Start())
	h.start(t, app.Ingest, nil, "ingest")
	h.send(t, numberedValues(t, 1)...)
	var id string
	require.Eventually(t, func() bool {
		windows := h.windows(t, c)
		if len(windows) == 1 && windows[0].length >= 5 { // its timer has been started
			id = windows[0].id
		}
		return id != ""
	}, patience, 100*time.Millisecond)
	w.Stop()

	seen := &failures{reasons: map[string]int{}}
	h.events = seen
	gate := make(chan struct{})
	close(gate)
	h.start(t, app.Executor, drakkar.NewPipeline(build{name: "today", gate: gate}), "executor")
	require.NoError(t, c.SignalWorkflow(t.Context(), id, "", "wake", nil))
	const failed = workflows.WindowWorkflow + " NonDeterminismError"
	require.Eventually(t, func() bool { return seen.count(failed) > 0 }, patience, 100*time.Millisecond)
	h.send(t, numberedValues(t, 5)[1:]...)
	require.Eventually(t, func() bool { return len(h.builds(t)) == 4 }, patience, 250*time.Millisecond)
	require.Zero(t, h.committed(t.Context()), "the offset waits for the window")

	_, err := c.ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: h.cfg.Temporal.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id},
		Reason: "other code", RequestId: id, WorkflowTaskFinishEventId: 4,
	})
	require.NoError(t, err)
	h.awaitCommitted(t, 5)
	require.Len(t, h.builds(t), 5)
	require.Empty(t, h.letters(t))
}
