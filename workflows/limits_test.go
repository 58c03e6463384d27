package workflows_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/workflows"
)

// refused is the size from which Temporal refuses an input or a result.
const refused = 2 << 20

// Dead letters of a window full of large messages stay below Temporal's limit:
// values that do not fit travel as coordinates.
func TestLimits_SourcesOfDeadLetters(t *testing.T) {
	t.Parallel()

	b := setup(t)
	in := window(6)
	in.DeadLetter = true
	for i := range in.Messages[:5] {
		in.Messages[i].Value = bytes.Repeat([]byte("x"), 200<<10)
		in.Messages[i].Key = drakkar.Bytes("key")
	}
	in.Messages[5].Value = nil // a tombstone stays one
	b.run(t, in)

	total, whole := 0, 0
	for _, m := range b.delivered[0].Sources[:5] {
		total += m.EncodedLen()
		require.Equal(t, "key", m.Key.String())
		if m.Value != nil {
			whole++
		} else {
			require.Equal(t, 200<<10, m.Size)
		}
	}
	require.Equal(t, 2, whole)
	require.Less(t, total, 1<<20)
	require.Zero(t, b.delivered[0].Sources[5].Size)
}

// A window of many messages makes few letters and few deliveries of what it has
// to say of all of them, whatever the error is.
func TestLimits_DeadLetterOfAWholeWindow(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.arrange = func(workflows.ArrangeInput) (workflows.Plan, error) {
		return workflows.Plan{}, lostError(strings.Repeat("x", 4<<10))
	}
	in := window(10_000)
	for i := range in.Messages {
		in.Messages[i].Key = bytes.Repeat([]byte("k"), 100)
	}
	res := b.run(t, in)
	require.Equal(t, 10_000, res.DeadLettered)
	require.Len(t, b.delivered, 10)
	require.Less(t, b.largest, refused)
	require.Less(t, b.total, 8<<20, "what does not fit travels as coordinates")
}

// Hooks that look at more than an activity may be given are called by a regular
// one all the same: records go to the store, and messages travel as coordinates.
func TestLimits_LargeCollect(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.set.Hooks.WindowComplete = true
	b.set.LocalCollect = false
	b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		out := succeed(in)
		out.Records = blobs.List[workflows.TaskRecord]{Len: 1, Bytes: in.RecordLimit, Ref: "", Items: []workflows.TaskRecord{{
			Task: in.Batch.Tasks.Items[0].Task, Result: &drakkar.Result{Stdout: bytes.Repeat([]byte("x"), in.RecordLimit)},
		}}}
		return out, nil
	}
	local := 0
	b.env.SetOnLocalActivityStartedListener(onLocal(workflows.CollectActivity, &local))
	in := window(40)
	for i := range in.Messages {
		in.Messages[i].Value = bytes.Repeat([]byte("x"), 30<<10)
	}
	b.run(t, in)
	require.Zero(t, local)
	require.Less(t, b.largest, refused)
	last := b.collected[len(b.collected)-1]
	require.Len(t, last.Messages, 40)
	require.Len(t, last.Records, 40)
	require.NotZero(t, last.Messages[39].Size, "no room for its value")
	require.Zero(t, last.Messages[0].Size)
}

// The answer to a query stays below the limit, and says how much is left out.
func TestLimits_Pending(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
		p := planOf(in.Messages)
		for i := range p.Batches {
			p.Batches[i].Tasks.Bytes = 300 << 10
		}
		return p, nil
	}
	var answer []blobs.List[workflows.TaskSpec]
	b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		if s := &in.Batch.Tasks.Items[0]; s.Attempt == 1 {
			s.Attempt++
			in.Batch.After, in.Batch.Counts = time.Hour, countsOf(in.Batch.Tasks.Items)
			return workflows.Outcome{FollowUps: []workflows.Batch{in.Batch}}, nil
		}
		return succeed(in), nil
	}
	b.env.RegisterDelayedCallback(func() {
		v, err := b.env.QueryWorkflow(workflows.PendingQuery)
		require.NoError(t, err)
		require.NoError(t, v.Get(&answer))
	}, time.Minute)
	b.run(t, window(10))
	require.Len(t, answer, 10)
	told := slices.DeleteFunc(slices.Clone(answer), func(l blobs.List[workflows.TaskSpec]) bool { return len(l.Items) == 0 })
	require.Len(t, told, 3)
	for _, l := range answer {
		require.Equal(t, 1, l.Len, "also of those that are left out")
	}
}

// However often tasks fail or are replaced, a window starts so many batches and
// then asks them to be patient.
func TestLimits_Batches(t *testing.T) {
	t.Parallel()

	for _, replaces := range []bool{false, true} {
		t.Run(fmt.Sprintf("Replaces=%v", replaces), func(t *testing.T) {
			t.Parallel()

			b := setup(t)
			b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
				require.Positive(t, in.MaxFollowUps)
				if in.Patient {
					return succeed(in), nil
				}
				again := in.Batch
				again.Counts = countsOf(again.Tasks.Items)
				if replaces {
					again.New, again.NewTasks = again.Counts, 1
					return workflows.Outcome{Settled: again.Counts, FollowUps: []workflows.Batch{again}}, nil
				}
				again.After = time.Minute
				return workflows.Outcome{FollowUps: []workflows.Batch{again}}, nil
			}
			res := b.run(t, window(20))
			require.Equal(t, 20, res.Delivered)
			require.LessOrEqual(t, len(b.executed), 240)
		})
	}
}

// Replacements of one outcome make no more batches than the window has room for.
func TestLimits_FollowUps(t *testing.T) {
	t.Parallel()

	b := setup(t)
	total := 0
	b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		if in.Batch.Tasks.Items[0].Depth > 0 {
			return succeed(in), nil
		}
		total += in.MaxFollowUps
		out := workflows.Outcome{Settled: countsOf(in.Batch.Tasks.Items)}
		for range in.MaxFollowUps {
			next := batchOf(in.Batch.Tasks.Items[0].SourceOffsets[0])
			next.Tasks.Items[0].Depth, next.New, next.NewTasks = 1, next.Counts, 1
			out.FollowUps = append(out.FollowUps, next)
		}
		return out, nil
	}
	b.run(t, window(50))
	require.LessOrEqual(t, len(b.executed), 300)
	require.GreaterOrEqual(t, total, 50)
}

// The hooks of a batch that fail are one list and one activity.
func TestLimits_ManyHooksOfABatch(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
		return workflows.Plan{Batches: []workflows.Batch{batchOf(offsetsOf(in.Messages)...)}, Tasks: len(in.Messages)}, nil
	}
	b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		calls := taskCalls(1, in.Batch.Tasks.Items...)
		calls.List = blobs.List[workflows.HookCall]{Len: 2000, Bytes: 10 << 20, Ref: "p/x"}
		return workflows.Outcome{Calls: calls}, nil
	}
	b.collect = func(in workflows.CollectInput) (workflows.Outcome, error) {
		require.Equal(t, "p/x", in.Calls.Ref)
		return workflows.Outcome{Settled: workflows.Counts{{First: 100, Last: 2099, N: 1}}, Succeeded: 2000}, nil
	}
	local := 0
	b.env.SetOnLocalActivityStartedListener(onLocal(workflows.CollectActivity, &local))
	b.run(t, window(2000))
	require.Len(t, b.collected, 1)
	require.Zero(t, local, "hooks that failed are not called inside the workflow's own step")
	require.Equal(t, []time.Duration{time.Second}, b.timers, "and not at once")
}

// A window that is open for days publishes its progress ever more seldom, and no
// more ranges than fit.
func TestLimits_Progress(t *testing.T) {
	t.Parallel()

	b := setup(t)
	const n = 1100
	b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
		var odd []int64 // the others are done at once
		for i := 1; i < n; i += 2 {
			odd = append(odd, in.Messages[i].Offset)
		}
		var p workflows.Plan
		for some := range slices.Chunk(odd, 10) {
			next := batchOf(some...)
			next.After = time.Duration(len(p.Batches)+1) * 30 * time.Second
			p.Batches = append(p.Batches, next)
		}
		return p, nil
	}
	published, longest := 0, 0
	b.env.OnUpsertMemo(mock.Anything).Run(func(args mock.Arguments) {
		m, ok := args.Get(0).(map[string]any)
		require.True(t, ok)
		ranges, ok := m[workflows.MemoFinished].([]workflows.Range)
		require.True(t, ok)
		published, longest = published+1, max(longest, len(ranges))
	}).Return(nil)
	b.run(t, window(n))
	require.Equal(t, 500, longest)
	require.Greater(t, published, 10)
	require.Less(t, published, 35, "of 55 batches in 27 minutes")
}
