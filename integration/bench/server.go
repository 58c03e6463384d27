package bench

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/drakkar-go/drakkar/workflows"
)

// listTimeout is how long Temporal's visibility may be behind.
const listTimeout = 30 * time.Second

// histories are what Temporal keeps of a pipeline's windows.
type histories struct{ windows, events, bytes int64 }

// histories asks Temporal for all windows of the pipeline, which must have
// ended.
func (p *pipeline) histories(ctx context.Context) (h histories, err error) {
	c, err := client.NewLazyClient(client.Options{
		HostPort: p.world.temporal, Namespace: p.world.namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return h, fmt.Errorf("making a client of Temporal: %w", err)
	}
	defer c.Close()
	err = eventually(ctx, listTimeout, func() error {
		running, err := count(ctx, c, p.windows("Running"))
		if err == nil && running > 0 {
			err = fmt.Errorf("%d windows are still open", running)
		}
		if err == nil {
			h, err = list(ctx, c, p.windows("Completed"))
		}
		return err
	})
	if err != nil {
		return h, fmt.Errorf("listing the windows of %s: %w", p.name, err)
	}
	return h, nil
}

// windows is the query for windows of a status.
func (p *pipeline) windows(status string) string {
	return fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = '%s' AND WorkflowId STARTS_WITH '%s/'",
		workflows.WindowWorkflow, status, p.name)
}

func count(ctx context.Context, c client.Client, query string) (int64, error) {
	res, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return 0, err
	}
	return res.GetCount(), nil
}

func list(ctx context.Context, c client.Client, query string) (h histories, err error) {
	var page []byte
	for {
		res, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, NextPageToken: page})
		if err != nil {
			return h, err
		}
		for _, info := range res.GetExecutions() {
			h.windows++
			h.events += info.GetHistoryLength()
			h.bytes += info.GetHistorySizeBytes()
		}
		if page = res.GetNextPageToken(); len(page) == 0 {
			return h, nil
		}
	}
}
