package workflows

import (
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// forEver repeats an activity whose worker died or could not reach Temporal.
// What fails because of its input is not repeated: ErrTypeLost. The first
// repetition comes at once: the dead worker was waited for long enough.
var forEver = &temporal.RetryPolicy{
	InitialInterval:        200 * time.Millisecond,
	BackoffCoefficient:     2,
	MaximumInterval:        30 * time.Second,
	NonRetryableErrorTypes: []string{ErrTypeLost, ErrTypeHook},
}

// once leaves repeating to the workflow.
var once = &temporal.RetryPolicy{MaximumAttempts: 1}

// longest bounds an activity that proves by heartbeats that it lives.
const longest = 14 * 24 * time.Hour

// execute are the options of Execute: its own queue, from which workers take
// only while they have room, or the workflow's when it is known who has.
func (r *window) executeOptions(ctx workflow.Context, b Batch) workflow.Context {
	queue := ExecuteQueue(r.in.Pipeline)
	if b.Here {
		queue = TaskQueue(r.in.Pipeline)
	}
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           queue,
		StartToCloseTimeout: longest,
		HeartbeatTimeout:    r.set.HeartbeatTimeout,
		RetryPolicy:         forEver,
		Summary:             short(b.Summary),
		Priority: temporal.Priority{
			PriorityKey: b.Priority, FairnessKey: "p" + strconv.Itoa(int(r.in.Partition)),
		},
	})
}

// deliverOptions are the options of Deliver: the workflow's own queue.
func (r *window) deliverOptions(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: longest,
		HeartbeatTimeout:    r.set.HeartbeatTimeout,
		RetryPolicy:         forEver,
		Summary:             short(summary),
	})
}

// hook calls an activity that runs hooks, inside the workflow's own step or as
// an activity of its own. A worker that dies meanwhile costs an attempt of its
// own kind, not one of the hook's: only errors of the hook come back.
func (r *window) hook(ctx workflow.Context, local bool, c hookCall) error {
	if local {
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
			StartToCloseTimeout: time.Duration(1+c.calls/localAtOnce) * (r.set.HookTimeout + 5*time.Second),
			RetryPolicy:         once,
			Summary:             short(c.summary),
		})
		return workflow.ExecuteLocalActivity(ctx, c.activity, c.in).Get(ctx, c.out)
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: longest,
		HeartbeatTimeout:    r.set.HeartbeatTimeout,
		RetryPolicy:         forEver,
		Summary:             short(c.summary),
	})
	return workflow.ExecuteActivity(ctx, c.activity, c.in).Get(ctx, c.out)
}

// maxSummary is the longest summary, in bytes: Temporal refuses 400, and names
// of programs and sinks have no bound.
const maxSummary = 160

func short(summary string) string {
	if len(summary) <= maxSummary {
		return summary
	}
	return strings.ToValidUTF8(summary[:maxSummary], "") + " …"
}

// localAtOnce is how many hooks a call makes at the same time at least.
const localAtOnce = 2

// hookCall is a call of Arrange or Collect.
type hookCall struct {
	activity string
	summary  string
	in, out  any
	calls    int // hooks that it calls, beside the first
}
