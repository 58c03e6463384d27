package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/workflowservice/v1"

	"github.com/drakkar-go/drakkar/workflows"
)

// oldReason is the reason of windows that are ended because the partition's
// offset was reset.
const oldReason = "a new epoch of the partition began (reset.cancel_old)"

// CancelOld implements Windows.
func (t *Temporal) CancelOld(ctx context.Context, link workflows.Link) (n int, err error) {
	prefix, same := epochPrefix(link)
	query := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '%s'",
		workflows.WindowWorkflow, strings.ReplaceAll(prefix, "'", `\'`))
	var page []byte
	for {
		res, err := t.list(ctx, query, page)
		if err != nil {
			return n, fmt.Errorf("listing the partition's windows: %w", err)
		}
		for _, w := range res.GetExecutions() {
			id := w.GetExecution().GetWorkflowId()
			if strings.HasPrefix(id, same) {
				continue
			}
			ended, err := t.end(ctx, id, w.GetExecution().GetRunId())
			if err != nil {
				return n, err
			}
			n += ended
		}
		if page = res.GetNextPageToken(); len(page) == 0 {
			return n, nil
		}
	}
}

// epochPrefix begins the ids of all windows of a partition, and same those of
// the link's epoch.
func epochPrefix(link workflows.Link) (prefix, same string) {
	id := link.WorkflowID()
	same = id[:strings.LastIndexByte(id, '/')+1]
	return strings.TrimSuffix(same, link.Epoch+"/"), same
}

func (t *Temporal) list(ctx context.Context, query string, page []byte) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()

	res, err := t.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: t.namespace, Query: query, NextPageToken: page,
	})
	return res, explained(ctx, err)
}

// end terminates a run, and returns 0 when it has ended by itself.
func (t *Temporal) end(ctx context.Context, workflowID, runID string) (int, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()

	err := explained(ctx, t.client.TerminateWorkflow(ctx, workflowID, runID, oldReason))
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("terminating %s: %w", workflowID, err)
	}
	return 1, nil
}
