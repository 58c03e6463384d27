package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/workflows"
)

// temporalBundle is a real server, and a worker whose windows do what their
// test signals.
type temporalBundle struct {
	client    client.Client
	namespace string
	windows   *Temporal
	worker    worker.Worker
	link      workflows.Link
}

// testWindow publishes progress, counts the steps it is signalled, and ends as
// it is told.
func testWindow(ctx workflow.Context, in workflows.WindowInput) (workflows.WindowResult, error) {
	steps := workflow.GetSignalChannel(ctx, "step")
	for n := 0; ; n++ {
		var how string
		workflow.NewSelector(ctx).
			AddReceive(steps, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &how) }).
			AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {}).Select(ctx)
		if ctx.Err() != nil {
			return workflows.WindowResult{}, ctx.Err()
		}
		switch how {
		case "progress":
			done := []workflows.Range{{First: in.Start, Last: in.Start + int64(n)}}
			if err := workflow.UpsertMemo(ctx, map[string]any{workflows.MemoFinished: done}); err != nil {
				return workflows.WindowResult{}, err
			}
		case "fail":
			return workflows.WindowResult{}, errors.New("on purpose")
		default:
			return workflows.WindowResult{Messages: len(in.Messages), Tasks: n}, nil
		}
	}
}

func setupTemporal(t *testing.T) *temporalBundle {
	t.Helper()

	c, namespace := servicestest.TemporalClient(t)
	pipeline := "pipe/" + uuid.NewString()
	b := &temporalBundle{
		client: c, namespace: namespace, windows: NewTemporal(c, namespace, pipeline, nil),
		link: workflows.Link{Pipeline: pipeline, Topic: "in", Partition: 3, Epoch: "0-20260101-1", Start: 100},
	}
	b.startWorker(t)
	return b
}

func (b *temporalBundle) startWorker(t *testing.T) {
	t.Helper()

	b.worker = worker.New(b.client, workflows.TaskQueue(b.link.Pipeline), worker.Options{})
	b.worker.RegisterWorkflowWithOptions(testWindow, workflow.RegisterOptions{Name: workflows.WindowWorkflow})
	b.worker.RegisterWorkflowWithOptions(func(workflow.Context, workflows.RebalanceInput) error { return nil },
		workflow.RegisterOptions{Name: workflows.RebalanceWorkflow})
	require.NoError(t, b.worker.Start())
	t.Cleanup(b.worker.Stop)
}

func (b *temporalBundle) input(last int64) workflows.WindowInput {
	return workflows.WindowInput{
		Link: b.link, Last: last, TopicID: "abc",
		Messages: []workflows.Message{{Offset: 101, Value: drakkar.Bytes("v")}, {Offset: last, Value: drakkar.Bytes("v")}},
	}
}

func (b *temporalBundle) signal(t *testing.T, how string) {
	t.Helper()

	require.NoError(t, b.client.SignalWorkflow(t.Context(), b.link.WorkflowID(), "", "step", how))
}

// wait waits for what is more than ErrNotYet.
func (b *temporalBundle) wait(t *testing.T) (workflows.WindowResult, error) {
	t.Helper()

	for range 4 {
		res, err := b.windows.Wait(t.Context(), b.link.WorkflowID())
		if !errors.Is(err, ErrNotYet) {
			return res, err
		}
	}
	return workflows.WindowResult{}, ErrNotYet
}

func (b *temporalBundle) closed(t *testing.T, status string) {
	t.Helper()

	_, err := b.wait(t)
	var closed *ClosedError
	require.ErrorAs(t, err, &closed)
	require.Equal(t, status, closed.Status)
}

func TestTemporal(t *testing.T) {
	t.Parallel()

	t.Run("StartDescribeWait", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		id := b.link.WorkflowID()
		_, err := b.windows.Describe(t.Context(), id)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = b.windows.Wait(t.Context(), id)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = b.windows.Reset(t.Context(), id, "why", 3)
		require.ErrorIs(t, err, ErrNotFound)

		require.NoError(t, b.windows.Start(t.Context(), b.input(199)))
		require.ErrorIs(t, b.windows.Start(t.Context(), b.input(150)), ErrAlreadyStarted)
		began := time.Now()
		_, err = b.windows.Wait(t.Context(), id)
		require.ErrorIs(t, err, ErrNotYet)
		require.InDelta(t, waitSlice.Seconds(), time.Since(began).Seconds(), 1.5)

		b.signal(t, "progress")
		require.Eventually(t, func() bool {
			d, err := b.windows.Describe(t.Context(), id)
			return err == nil && len(d.Finished) == 1
		}, eventually, soon)
		d, err := b.windows.Describe(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, []workflows.Range{{First: 100, Last: 100}}, d.Finished)
		require.Equal(t, int64(199), d.Last)
		require.Equal(t, 2, d.Messages)
		require.False(t, d.Completed)
		require.WithinDuration(t, time.Now(), d.Started, time.Minute)
		res0, err := b.client.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		memo := map[string]string{}
		for key, payload := range res0.GetWorkflowExecutionInfo().GetMemo().GetFields() {
			memo[key] = string(payload.GetData())
		}
		require.Equal(t, map[string]string{"start": "100", "first": "101", "last": "199", "count": "2", "finished": "[[100,100]]"}, memo)

		b.signal(t, "end")
		res, err := b.wait(t)
		require.NoError(t, err)
		require.Equal(t, workflows.WindowResult{Messages: 2, Tasks: 1}, res)
		require.ErrorIs(t, b.windows.Start(t.Context(), b.input(150)), ErrAlreadyStarted)
		d, err = b.windows.Describe(t.Context(), id)
		require.NoError(t, err)
		require.True(t, d.Completed)
		run, err := b.windows.Reset(t.Context(), id, "why", 3)
		require.NoError(t, err)
		require.Zero(t, run)
	})

	t.Run("ResetKeepsWhatIsFinished", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		id := b.link.WorkflowID()
		require.NoError(t, b.windows.Start(t.Context(), b.input(199)))
		b.signal(t, "progress")
		b.signal(t, "progress")
		finished := func() bool {
			d, err := b.windows.Describe(t.Context(), id)
			return err == nil && len(d.Finished) == 1 && d.Finished[0].Last == 101
		}
		require.Eventually(t, finished, eventually, soon)
		for run := 1; run <= 2; run++ {
			require.NoError(t, b.client.TerminateWorkflow(t.Context(), id, "", "a test"))
			b.closed(t, "terminated")
			got, err := b.windows.Reset(t.Context(), id, "terminated", 2)
			require.NoError(t, err)
			require.Equal(t, run, got)
			again, err := b.windows.Reset(t.Context(), id, "terminated", 2)
			require.NoError(t, err)
			require.Zero(t, again, "it runs")
			require.Eventually(t, finished, eventually, soon)
		}
		b.signal(t, "fail")
		b.closed(t, "failed")
		_, err := b.windows.Reset(t.Context(), id, "failed", 2)
		require.ErrorIs(t, err, ErrNoRerun)
		run, err := b.windows.Reset(t.Context(), id, "failed", 3)
		require.NoError(t, err)
		require.Equal(t, 3, run)

		// The last task is done again: its signal ends the window as before.
		b.closed(t, "failed")
		require.NoError(t, b.windows.Check(t.Context()))
	})

	t.Run("DeadLetter", func(t *testing.T) {
		t.Parallel()

		for _, how := range []string{"terminated", "failed", "running", "never ran"} {
			b := setupTemporal(t)
			id := b.link.WorkflowID()
			_, err := b.windows.DeadLetter(t.Context(), id, "why")
			require.ErrorIs(t, err, ErrNotFound)
			if how == "never ran" {
				b.worker.Stop()
			}
			require.NoError(t, b.windows.Start(t.Context(), b.input(199)))
			if how != "never ran" {
				b.signal(t, "progress")
				b.signal(t, "progress")
				require.Eventually(t, func() bool {
					d, err := b.windows.Describe(t.Context(), id)
					return err == nil && len(d.Finished) == 1 && d.Finished[0].Last == 101
				}, eventually, soon)
			}
			switch how {
			case "terminated", "never ran":
				require.NoError(t, b.client.TerminateWorkflow(t.Context(), id, "", "a test"))
				b.closed(t, "terminated")
			case "failed":
				b.signal(t, "fail")
				b.closed(t, "failed")
			}
			started := make(chan bool, 2)
			for range 2 { // two owners
				go func() {
					ok, err := b.windows.DeadLetter(t.Context(), id, "why")
					started <- ok && err == nil
				}()
			}
			one, other := <-started, <-started
			require.NotEqual(t, one, other, "one of them does it: %s", how)
			again, err := b.windows.DeadLetter(t.Context(), id, "why")
			require.NoError(t, err)
			require.False(t, again, "it does so already")

			d, err := b.windows.Describe(t.Context(), id)
			require.NoError(t, err)
			require.True(t, d.DeadLetter)
			require.Equal(t, int64(199), d.Last)
			if how == "never ran" {
				require.Equal(t, 2, d.Messages)
				b.startWorker(t)
			} else {
				require.Equal(t, 1, d.Messages)
				require.Equal(t, []workflows.Range{{First: 100, Last: 101}}, d.Finished)
			}
			run, err := b.windows.input(t.Context(), &commonpb.WorkflowExecution{WorkflowId: id})
			require.NoError(t, err)
			require.True(t, run.DeadLetter)
			require.Equal(t, "why", run.Because)
			require.Len(t, run.Messages, d.Messages)

			// It is reset as any other, and ends once.
			require.NoError(t, b.client.TerminateWorkflow(t.Context(), id, "", "a test"))
			n, err := b.windows.Reset(t.Context(), id, "terminated", 1)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			b.signal(t, "end")
			_, err = b.wait(t)
			require.NoError(t, err)
			again, err = b.windows.DeadLetter(t.Context(), id, "why")
			require.NoError(t, err)
			require.False(t, again, "it has its result")
			require.ErrorIs(t, b.windows.Start(t.Context(), b.input(199)), ErrAlreadyStarted)
		}
	})

	t.Run("ADeletedWindowIsStartedAgain", func(t *testing.T) {
		t.Parallel()

		const deletion = 90 * time.Second // the server does it in its own time
		for _, open := range []bool{true, false} {
			b := setupTemporal(t)
			id := b.link.WorkflowID()
			require.NoError(t, b.windows.Start(t.Context(), b.input(199)))
			if !open {
				b.signal(t, "end")
				_, err := b.wait(t)
				require.NoError(t, err)
			}
			_, err := b.client.WorkflowService().DeleteWorkflowExecution(t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{
				Namespace: b.namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id},
			})
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				_, err := b.windows.Describe(t.Context(), id)
				return errors.Is(err, ErrNotFound)
			}, deletion, soon)
			_, err = b.windows.Wait(t.Context(), id)
			require.ErrorIs(t, err, ErrNotFound)
			in := b.input(199)
			in.Finished = []workflows.Range{{First: 100, Last: 150}}
			require.Eventually(t, func() bool { return b.windows.Start(t.Context(), in) == nil }, deletion, soon)
			d, err := b.windows.Describe(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, in.Finished, d.Finished)
			require.False(t, d.Completed)
		}
	})

	t.Run("CancelOld", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		b.link.Topic = "in_1" // _ is any character to some databases
		start := func(change func(*workflows.Link)) string {
			in := b.input(199)
			change(&in.Link)
			require.NoError(t, b.windows.Start(t.Context(), in))
			return in.WorkflowID()
		}
		var old []string
		for n := range 3 {
			old = append(old, start(func(l *workflows.Link) { l.Epoch = fmt.Sprintf("0-20250101-%d", n) }))
		}
		kept := []string{
			start(func(*workflows.Link) {}),
			start(func(l *workflows.Link) { l.Partition = 33 }),
			start(func(l *workflows.Link) { l.Topic = "in2" }),
			start(func(l *workflows.Link) { l.Topic, l.Epoch = "inx1", "0-20250101-1" }),
		}
		ended := 0
		require.Eventually(t, func() bool { // visibility may lag
			n, err := b.windows.CancelOld(t.Context(), b.link)
			require.NoError(t, err)
			ended += n
			return ended >= len(old)
		}, eventually, soon)
		require.Equal(t, len(old), ended)
		for _, id := range old {
			_, err := b.windows.Wait(t.Context(), id)
			var closed *ClosedError
			require.ErrorAs(t, err, &closed)
			require.Contains(t, closed.Error(), "reset.cancel_old")
		}
		for _, id := range kept {
			_, err := b.windows.Wait(t.Context(), id)
			require.ErrorIs(t, err, ErrNotYet)
		}
	})

	t.Run("ResetOfAWindowThatWasCancelled", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		id := b.link.WorkflowID()
		require.NoError(t, b.windows.Start(t.Context(), b.input(199)))
		b.signal(t, "progress")
		require.Eventually(t, func() bool {
			d, err := b.windows.Describe(t.Context(), id)
			return err == nil && len(d.Finished) > 0
		}, 30*time.Second, 50*time.Millisecond)
		require.NoError(t, b.client.CancelWorkflow(t.Context(), id, ""))
		b.closed(t, "cancelled")

		run, err := b.windows.Reset(t.Context(), id, "why", 3)
		require.NoError(t, err)
		require.Equal(t, 1, run)
		b.signal(t, "done")
		res, err := b.wait(t)
		require.NoError(t, err, "the run goes on without the request to cancel it")
		require.Equal(t, 1, res.Tasks, "what is finished stays finished")
	})

	t.Run("ResetOfAWindowThatNeverRan", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		b.worker.Stop()
		id := b.link.WorkflowID()
		require.NoError(t, b.windows.Start(t.Context(), b.input(199)))
		require.NoError(t, b.client.TerminateWorkflow(t.Context(), id, "", "a test"))
		b.closed(t, "terminated")
		for run := 1; run <= 2; run++ {
			got, err := b.windows.Reset(t.Context(), id, "terminated", 3)
			require.NoError(t, err)
			require.Equal(t, run, got)
			if run == 1 {
				require.NoError(t, b.client.TerminateWorkflow(t.Context(), id, "", "a test"))
			}
		}
		b.startWorker(t)
		b.signal(t, "end")
		_, err := b.wait(t)
		require.NoError(t, err)
	})

	t.Run("ResetKeepsWhatCameWhileNobodyTookAStep", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		b.worker.Stop()
		id := b.link.WorkflowID()
		require.NoError(t, b.windows.Start(t.Context(), b.input(199)))
		b.signal(t, "progress")
		b.signal(t, "progress")
		require.NoError(t, b.client.TerminateWorkflow(t.Context(), id, "", "a test"))
		_, err := b.windows.Reset(t.Context(), id, "terminated", 3)
		require.NoError(t, err)
		events := b.client.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		var types []enumspb.EventType
		for events.HasNext() {
			e, err := events.Next()
			require.NoError(t, err)
			types = append(types, e.GetEventType())
		}
		require.Equal(t, []enumspb.EventType{
			enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
			enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
			enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
		}, types, "they stand before the step that is made anew")
		b.startWorker(t)
		b.signal(t, "end")
		res, err := b.wait(t)
		require.NoError(t, err)
		require.Equal(t, 2, res.Tasks)
	})

	t.Run("TooLarge", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		for _, size := range []int{3 << 20, 6 << 20} { // over the server's limit, and over gRPC's
			in := b.input(199)
			in.Messages[0].Value = []byte(strings.Repeat("x", size))
			require.ErrorIs(t, b.windows.Start(t.Context(), in), ErrTooLarge)
		}
		in := b.input(199)
		in.Messages[0].Value = []byte(strings.Repeat("x", maxAlone))
		require.NoError(t, b.windows.Start(t.Context(), in))
	})

	t.Run("NamespaceAndRebalance", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		retention, err := b.windows.Retention(t.Context())
		require.NoError(t, err)
		require.Positive(t, retention)
		_, err = NewTemporal(b.client, "no-such-namespace", "p", nil).Retention(t.Context())
		require.ErrorContains(t, err, "no-such-namespace (temporal.namespace)")
		require.NoError(t, b.windows.StartRebalance(t.Context(), workflows.RebalanceInput{Topic: "in", Partitions: []int32{1}}))
	})

	t.Run("ForeignWorkflow", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		_, err := b.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: b.link.WorkflowID(), TaskQueue: "nobody", WorkflowExecutionTimeout: time.Minute,
			WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		}, "Other")
		require.NoError(t, err)
		require.ErrorIs(t, b.windows.Start(t.Context(), b.input(199)), ErrAlreadyStarted)
		_, err = b.windows.Describe(t.Context(), b.link.WorkflowID())
		require.ErrorContains(t, err, "was not started by Drakkar")
	})

	t.Run("CancelledCalls", func(t *testing.T) {
		t.Parallel()

		b := setupTemporal(t)
		why := errors.New("revoked")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		require.ErrorIs(t, b.windows.Start(ctx, b.input(199)), why)
		_, err := b.windows.Wait(ctx, b.link.WorkflowID())
		require.ErrorIs(t, err, why)
	})
}

func TestRerunNumber(t *testing.T) {
	t.Parallel()

	for reason, want := range map[string]int{
		fmt.Sprintf(rerunReason, 7, "terminated: x"): 7, "an operator's": 0, "": 0, "drakkar rerun x: y": 0,
	} {
		require.Equal(t, want, rerunNumber(reason), reason)
	}
}
