package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// waitSlice is how long one poll for a result takes. The server answers a
	// second before it, and at once when it is a second or less. Much longer
	// slices would hide that the server sometimes does not notify a poll of the
	// end it waits for.
	waitSlice = 5 * time.Second

	// callBound bounds every other request.
	callBound = 10 * time.Second
)

var errTemporalTimeout = errors.New("Temporal did not answer in time")

// Temporal is Windows over a client of the Temporal SDK.
type Temporal struct {
	client    client.Client
	namespace string
	pipeline  string
	converter converter.DataConverter
}

var _ Windows = (*Temporal)(nil)

// NewTemporal returns the windows of a pipeline. The data converter is the
// client's: memos and results are read with it. Nil is the SDK's default.
func NewTemporal(c client.Client, namespace, pipeline string, dc converter.DataConverter) *Temporal {
	if dc == nil {
		dc = converter.GetDefaultDataConverter()
	}
	return &Temporal{client: c, namespace: namespace, pipeline: pipeline, converter: dc}
}

// Start implements Windows.
func (t *Temporal) Start(ctx context.Context, in workflows.WindowInput) error {
	ctx, cancel := bounded(ctx)
	defer cancel()

	_, err := t.client.ExecuteWorkflow(ctx, startOptions(in), workflows.WindowWorkflow, in)
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case errors.As(err, &exists):
		return ErrAlreadyStarted
	case tooLarge(err), cutOff(err) && t.size(in) > requestMax:
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return explained(ctx, err)
}

func startOptions(in workflows.WindowInput) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                    in.WorkflowID(),
		TaskQueue:             workflows.TaskQueue(in.Pipeline),
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		// Without it a handle of the existing run would come back, as if it
		// were ours.
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		Memo:                                     in.Memo(),
		StaticSummary:                            in.Summary(),
		WorkflowTaskTimeout:                      workflowTaskTimeout,
	}
}

// workflowTaskTimeout is how long the step of a window that was under way on an
// executor that died is waited for. A step takes milliseconds, and a hook that
// runs inside of one tells the server that it is alive.
const workflowTaskTimeout = 5 * time.Second

// requestMax is the largest request that Temporal's frontend reads, in bytes.
const requestMax = 4 << 20

// cutOff reports whether the server has ended the transfer of a request. It may
// do so, instead of an answer, before all of a request that is too large is
// sent.
func cutOff(err error) bool { return err != nil && strings.Contains(err.Error(), "RST_STREAM") }

// size is that of a window's input on its way to the server.
func (t *Temporal) size(in workflows.WindowInput) int {
	p, err := t.converter.ToPayload(in)
	if err != nil {
		return 0
	}
	return len(p.GetData())
}

// tooLarge reports whether the server, or the transport, refused the size of a
// request. There is no code for it but the text.
func tooLarge(err error) bool {
	if _, ok := errors.AsType[*serviceerror.InvalidArgument](err); ok {
		text := strings.ToLower(err.Error())
		return strings.Contains(text, "size exceeds limit") || strings.Contains(text, "exceeds size limit")
	}
	return err != nil && strings.Contains(err.Error(), "larger than max")
}

// Describe implements Windows.
func (t *Temporal) Describe(ctx context.Context, workflowID string) (Description, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()

	res, err := t.client.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return Description{}, explained(ctx, err)
	}
	info := res.GetWorkflowExecutionInfo()
	d := Description{
		Completed: info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
		Started:   info.GetStartTime().AsTime(),
	}
	if first := res.GetWorkflowExtendedInfo().GetOriginalStartTime(); first != nil {
		d.Started = first.AsTime() // a reset starts again
	}
	if err := t.readMemo(info.GetMemo(), &d); err != nil {
		return Description{}, fmt.Errorf("reading the memo of %s: %w", workflowID, err)
	}
	return d, nil
}

func (t *Temporal) readMemo(memo *commonpb.Memo, d *Description) error {
	fields := memo.GetFields()
	if fields[workflows.MemoLast] == nil {
		return fmt.Errorf("it has no %q: the workflow was not started by Drakkar", workflows.MemoLast)
	}
	for key, to := range map[string]any{
		workflows.MemoLast: &d.Last, workflows.MemoCount: &d.Messages, workflows.MemoFinished: &d.Finished,
		workflows.MemoDeadLetter: &d.DeadLetter,
	} {
		if fields[key] == nil {
			continue
		}
		if err := t.converter.FromPayload(fields[key], to); err != nil {
			return fmt.Errorf("reading %q: %w", key, err)
		}
	}
	return nil
}

// Wait implements Windows. One request is one poll, without run id, so that a
// run that was reset meanwhile is what the next poll finds.
func (t *Temporal) Wait(ctx context.Context, workflowID string) (workflows.WindowResult, error) {
	var result workflows.WindowResult
	ctx, cancel := context.WithTimeoutCause(ctx, waitSlice, errTemporalTimeout)
	defer cancel()

	res, err := t.client.WorkflowService().GetWorkflowExecutionHistory(ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace:              t.namespace,
		Execution:              &commonpb.WorkflowExecution{WorkflowId: workflowID},
		WaitNewEvent:           true,
		HistoryEventFilterType: enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
		SkipArchival:           true,
	})
	if err != nil {
		return result, explained(ctx, err)
	}
	evs := res.GetHistory().GetEvents()
	if len(evs) == 0 {
		return result, ErrNotYet
	}
	return result, t.closed(evs[len(evs)-1], &result)
}

// closed reads how a run ended.
func (t *Temporal) closed(e *historypb.HistoryEvent, result *workflows.WindowResult) error {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
		out := e.GetWorkflowExecutionCompletedEventAttributes().GetResult()
		if len(out.GetPayloads()) == 0 {
			return nil
		}
		if err := t.converter.FromPayloads(out, result); err != nil {
			return fmt.Errorf("reading the window's result: %w", err)
		}
		return nil
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
		failure := e.GetWorkflowExecutionFailedEventAttributes().GetFailure()
		return &ClosedError{Status: "failed", Err: errors.New(failure.GetMessage())}
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
		reason := e.GetWorkflowExecutionTerminatedEventAttributes().GetReason()
		return &ClosedError{Status: "terminated", Err: errors.New(reason)}
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
		return &ClosedError{Status: "cancelled"}
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
		return &ClosedError{Status: "timed out"}
	default:
		return ErrNotYet // the chain of runs goes on
	}
}

// StartRebalance implements Windows.
func (t *Temporal) StartRebalance(ctx context.Context, in workflows.RebalanceInput) error {
	_, err := t.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:        t.pipeline + "/rebalance/" + in.Topic + "/" + uuid.NewString(),
		TaskQueue: workflows.TaskQueue(t.pipeline),
	}, workflows.RebalanceWorkflow, in)
	return explained(ctx, err)
}

// Retention implements Windows.
func (t *Temporal) Retention(ctx context.Context) (time.Duration, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()

	res, err := t.client.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: t.namespace})
	if err != nil {
		return 0, fmt.Errorf("asking for namespace %s (temporal.namespace): %w", t.namespace, explained(ctx, err))
	}
	return res.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration(), nil
}

// Check implements Windows.
func (t *Temporal) Check(ctx context.Context) error {
	_, err := t.client.CheckHealth(ctx, &client.CheckHealthRequest{})
	return explained(ctx, err)
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, callBound, errTemporalTimeout)
}

// explained turns what the client returned into the errors of Windows. The
// cause of an ended context says more than the client's words.
func explained(ctx context.Context, err error) error {
	var notFound *serviceerror.NotFound
	var denied *serviceerror.PermissionDenied
	switch {
	case err == nil:
		return nil
	case errors.As(err, &notFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.As(err, &denied), status.Code(err) == codes.Unauthenticated:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	default:
		return err
	}
}
