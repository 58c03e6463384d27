package workflows

import (
	"go.temporal.io/sdk/workflow"
)

// StoreWorkflow is the registered name of the Store workflow.
const StoreWorkflow = "Store"

// Memo keys of the Store workflow.
const (
	MemoStoreID    = "store_id"
	MemoStorePlace = "store_place"
	MemoStoreHost  = "store_host"
)

// StoreWorkflowID is the id of the workflow that says which blob store the
// executors of a pipeline share.
func StoreWorkflowID(pipeline string) string { return pipeline + "/store" }

// Store does nothing, for ever: what counts is its memo, which every executor
// compares with the store that it has itself. It ends by being terminated.
func (w *Workflows) Store(ctx workflow.Context) error {
	ctx.Done().Receive(ctx, nil)
	return ctx.Err()
}
