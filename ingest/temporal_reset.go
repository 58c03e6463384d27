package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// rerunReason begins the reason of our resets. Temporal keeps it in the new
// run's history, so the number of reruns outlives this process, and a reset
// that an operator makes by hand begins a new count.
const rerunReason = "drakkar rerun %d: %s"

var errNoWorkflowTask = errors.New("its history has no workflow task to reset to")

// Reset implements Windows.
//
// The run is reset to the latest point from which it can go on, so what is in the
// history before that is not done again: to its last workflow task, even if that
// never ended, and behind what came while that task waited for an executor, which
// may have died with the window in its cache. Of a run that was cancelled it is
// the last such point before the request, which would end every further run too.
// The request id names the closed run, so of two owners who reset it at the same
// time only one does.
func (t *Temporal) Reset(ctx context.Context, workflowID, reason string, maxRuns int) (int, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()

	res, err := t.client.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return 0, explained(ctx, err)
	}
	info := res.GetWorkflowExecutionInfo()
	switch info.GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return 0, nil
	}
	runID := info.GetExecution().GetRunId()
	h, err := t.readHistory(ctx, workflowID, runID)
	if err != nil {
		return 0, err
	}
	if h.reruns >= maxRuns {
		return 0, ErrNoRerun
	}
	run := h.reruns + 1
	_, err = t.client.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace:                 t.namespace,
		WorkflowExecution:         &commonpb.WorkflowExecution{WorkflowId: workflowID, RunId: runID},
		Reason:                    fmt.Sprintf(rerunReason, run, reason),
		WorkflowTaskFinishEventId: h.keep + 1,
		RequestId:                 fmt.Sprintf("%s/rerun/%d", runID, run),
	})
	if err != nil {
		return 0, fmt.Errorf("resetting %s: %w", workflowID, explained(ctx, err))
	}
	return run, nil
}

// pastRun is what a closed run's history tells.
type pastRun struct {
	// keep is the last event that a reset keeps: that with which the last
	// workflow task began, or, when it never did, the last one behind its
	// scheduling. A reset needs such a task, and goes to the end of a write of
	// the server: what comes while a task is under way is written only with the
	// task's end, and is lost.
	keep   int64
	waits  bool // the last workflow task has not begun
	reruns int  // that led to this run

	cancelled bool // somebody has asked for its end
}

func (t *Temporal) readHistory(ctx context.Context, workflowID, runID string) (pastRun, error) {
	var h pastRun
	events := t.client.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return h, fmt.Errorf("reading the history of %s: %w", workflowID, explained(ctx, err))
		}
		h.take(e)
	}
	if h.keep == 0 {
		return h, fmt.Errorf("resetting %s: %w", workflowID, errNoWorkflowTask)
	}
	return h, nil
}

func (h *pastRun) take(e *historypb.HistoryEvent) {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED:
		h.waits = e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
		if !h.cancelled || h.keep == 0 {
			h.keep = e.GetEventId()
		}
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
		h.cancelled = true
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED:
		h.waits = false
		failed := e.GetWorkflowTaskFailedEventAttributes()
		if failed.GetCause() == enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW {
			h.reruns = rerunNumber(failed.GetFailure().GetMessage())
		}
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
		h.waits = false
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
		// Its end is what a reset takes back.
	default:
		if h.waits && !h.cancelled {
			h.keep = e.GetEventId()
		}
	}
}

// rerunNumber reads the number from the reason of a reset; 0 when it was not
// ours.
func rerunNumber(reason string) int {
	var n int
	prefix, _, _ := strings.Cut(rerunReason, ":")
	if _, err := fmt.Sscanf(reason, prefix, &n); err != nil {
		return 0
	}
	return n
}
