package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Rebalance tells the handler, on one executor, that partitions were assigned
// or revoked.
func (w *Workflows) Rebalance(ctx workflow.Context, in RebalanceInput) error {
	var set Settings
	err := workflow.SideEffect(ctx, func(workflow.Context) any { return w.Settings() }).Get(&set)
	if err != nil {
		return err
	}
	if in.Revoked && !set.Hooks.Revoke || !in.Revoked && !set.Hooks.Assign {
		return nil
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: set.HookTimeout + 5*time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    set.HookInitialInterval,
			BackoffCoefficient: 2,
			MaximumInterval:    max(set.HookInitialInterval, set.HookMaxInterval),
			MaximumAttempts:    int32(min(set.HookMaxAttempts, 1000)),
		},
	})
	return workflow.ExecuteActivity(ctx, RebalanceActivity, in).Get(ctx, nil)
}
