package ingest

import (
	"context"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"

	"github.com/drakkar-go/drakkar/workflows"
)

var errNoInput = errors.New("its history does not begin with a window's input")

// DeadLetter implements Windows.
//
// The id of a closed workflow is used again, as its last run has no result: the
// server allows that for exactly such runs, so of two owners who do it at the
// same time one does, and a window that has its result is never replaced. What
// was finished after the last progress in the memo is written to the dead
// letter queue too.
func (t *Temporal) DeadLetter(ctx context.Context, workflowID, reason string) (bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()

	res, err := t.client.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return false, explained(ctx, err)
	}
	info := res.GetWorkflowExecutionInfo()
	var d Description
	if err := t.readMemo(info.GetMemo(), &d); err != nil {
		return false, fmt.Errorf("reading the memo of %s: %w", workflowID, err)
	}
	running := info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	if info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED || running && d.DeadLetter {
		return false, nil
	}
	in, err := t.input(ctx, info.GetExecution())
	if err != nil {
		return false, err
	}
	if running {
		// The run that was looked at, not one that took its place meanwhile.
		err := t.client.TerminateWorkflow(ctx, workflowID, info.GetExecution().GetRunId(), reason)
		if err != nil && !errors.Is(explained(ctx, err), ErrNotFound) {
			return false, fmt.Errorf("terminating %s: %w", workflowID, explained(ctx, err))
		}
	}
	return t.startRest(ctx, rest(in, d.Finished, reason))
}

// startRest starts a window under the id of a closed one that has no result.
func (t *Temporal) startRest(ctx context.Context, in workflows.WindowInput) (bool, error) {
	o := startOptions(in)
	o.WorkflowIDReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
	_, err := t.client.ExecuteWorkflow(ctx, o, workflows.WindowWorkflow, in)
	if _, exists := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); exists {
		return false, nil // another owner was faster, or it was reset
	}
	if err != nil {
		return false, fmt.Errorf("starting %s anew: %w", in.WorkflowID(), explained(ctx, err))
	}
	return true, nil
}

// input is what a run was started with.
func (t *Temporal) input(ctx context.Context, run *commonpb.WorkflowExecution) (in workflows.WindowInput, err error) {
	events := t.client.GetWorkflowHistory(ctx, run.GetWorkflowId(), run.GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	var first *historypb.HistoryEvent
	if events.HasNext() {
		if first, err = events.Next(); err != nil {
			return in, fmt.Errorf("reading the history of %s: %w", run.GetWorkflowId(), explained(ctx, err))
		}
	}
	payloads := first.GetWorkflowExecutionStartedEventAttributes().GetInput()
	if len(payloads.GetPayloads()) == 0 {
		return in, fmt.Errorf("reading the input of %s: %w", run.GetWorkflowId(), errNoInput)
	}
	if err := t.converter.FromPayloads(payloads, &in); err != nil {
		return in, fmt.Errorf("reading the input of %s: %w", run.GetWorkflowId(), err)
	}
	return in, nil
}

// rest is the window's input for its dead letters: without the messages that
// are finished.
func rest(in workflows.WindowInput, finished []workflows.Range, reason string) workflows.WindowInput {
	left := make([]workflows.Message, 0, len(in.Messages))
	for _, m := range in.Messages {
		if !contains(finished, m.Offset) {
			left = append(left, m)
		}
	}
	in.Messages, in.Finished, in.DeadLetter, in.Because = left, finished, true, reason
	return in
}
