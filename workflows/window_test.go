package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestWindow(t *testing.T) {
	t.Parallel()

	t.Run("DeliversEveryTask", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		res := b.run(t, window(5))

		require.Equal(t, workflows.WindowResult{Messages: 5, Tasks: 5, Delivered: 5}, res)
		require.Len(t, b.executed, 5)
		require.Empty(t, b.collected, "no hook wants to be called")
	})

	t.Run("EndsWithoutTasks", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.arrange = func(workflows.ArrangeInput) (workflows.Plan, error) { return workflows.Plan{}, nil }
		require.Equal(t, workflows.WindowResult{Messages: 2}, b.run(t, window(2)))
	})

	t.Run("EndsWithoutMessages", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		require.Equal(t, workflows.WindowResult{}, b.run(t, window(0)))
		require.Empty(t, b.arranged)
	})

	t.Run("ManyBatchesAllRun", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		res := b.run(t, window(60))
		require.Equal(t, 60, res.Delivered)
		require.Len(t, b.executed, 60)
	})

	t.Run("DeadLetterModeRunsNothing", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		in := window(3)
		in.DeadLetter = true
		res := b.run(t, in)
		require.Equal(t, workflows.WindowResult{Messages: 3, DeadLettered: 3}, res)
		require.Empty(t, b.arranged)
		require.Equal(t, []int64{100, 101, 102}, letterOffsets(b.buried()))
		require.Equal(t, []int64{100, 101, 102}, offsetsOf(b.delivered[0].Sources))
	})
}

func TestWindowArrange(t *testing.T) {
	t.Parallel()

	t.Run("RepeatsAfterAnErrorOfTheHook", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		calls := 0
		b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
			switch calls++; calls {
			case 1:
				return workflows.Plan{}, hookError("not now")
			case 2, 3, 4:
				return workflows.Plan{}, notYet()
			}
			require.Equal(t, 1, in.Attempts)
			return planOf(in.Messages), nil
		}
		res := b.run(t, window(4))
		require.Equal(t, 4, res.Delivered)
		require.Zero(t, res.DeadLettered)
		require.Equal(t, 5, calls)
	})

	t.Run("IsolatesTheMessageThatCannotBeArranged", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
			if in.Attempts == 0 {
				return workflows.Plan{}, hookError("bad apple")
			}
			require.Equal(t, workflows.HookRetry{MaxAttempts: 3, InitialInterval: time.Second, MaxInterval: time.Minute}, in.Retry)
			p := planOf(slices.Concat(in.Messages[:5], in.Messages[6:]))
			p.Letters = listOf(workflows.Letter{Offset: 105, Class: workflows.ClassArrange, Error: "bad apple"})
			p.LetterOffsets = one(105)
			return p, nil
		}
		local := 0
		b.env.SetOnLocalActivityStartedListener(onLocal(workflows.ArrangeActivity, &local))
		res := b.run(t, window(16))
		require.Equal(t, workflows.WindowResult{Messages: 16, Tasks: 15, Delivered: 15, DeadLettered: 1}, res)
		require.Equal(t, []int64{105}, letterOffsets(b.buried()))
		require.Equal(t, 1, local, "what failed is left to an activity, which Temporal repeats")
		require.Len(t, b.arranged, 2)
	})

	t.Run("TroubleOfTheWorkerIsNoAttempt", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		calls := 0
		b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
			if calls++; calls < 8 {
				return workflows.Plan{}, errors.New("connection lost")
			}
			return planOf(in.Messages), nil
		}
		res := b.run(t, window(2))
		require.Equal(t, 2, res.Delivered)
		require.Zero(t, res.DeadLettered)
	})

	t.Run("HaltWaitsForAsLongAsItTakes", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		calls := 0
		b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
			if calls++; calls < 50 {
				return workflows.Plan{}, haltError()
			}
			return planOf(in.Messages), nil
		}
		res := b.run(t, window(1))
		require.Equal(t, 1, res.Delivered)
		require.Equal(t, 50, calls)
	})

	t.Run("LettersOfMessagesThatDoNotParse", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.set.Hooks.MessageComplete = true
		b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
			p := planOf(in.Messages[1:])
			p.Letters = listOf(workflows.Letter{Offset: 100, Class: workflows.ClassParse})
			p.LetterOffsets = one(100)
			return p, nil
		}
		res := b.run(t, window(3))
		require.Equal(t, 1, res.DeadLettered)
		require.Equal(t, 2, res.Delivered)
		for _, c := range b.collected {
			require.NotContains(t, offsetsOf(c.Messages), int64(100), "a dead letter has no message hook")
		}
	})
}

func TestWindowTasks(t *testing.T) {
	t.Parallel()

	t.Run("RepeatsAfterItsPause", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
			if in.Batch.Tasks.Items[0].Attempt == 1 {
				again := in.Batch
				again.Tasks.Items[0].Attempt = 2
				again.After, again.Counts = time.Hour, countsOf(again.Tasks.Items)
				return workflows.Outcome{FollowUps: []workflows.Batch{again}}, nil
			}
			return succeed(in), nil
		}
		res := b.run(t, window(1))
		require.Equal(t, workflows.WindowResult{Messages: 1, Tasks: 1, Delivered: 1}, res)
		require.Equal(t, []time.Duration{time.Hour}, b.timers)
	})

	t.Run("AccountsForReplacements", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.set.Hooks.MessageComplete = true
		b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
			if in.Batch.Tasks.Items[0].Depth > 0 {
				return succeed(in), nil
			}
			next := batchOf(100, 100)
			next.New, next.NewTasks = next.Counts, 2
			for i := range next.Tasks.Items {
				next.Tasks.Items[i].Depth = 1
			}
			return workflows.Outcome{Settled: countsOf(in.Batch.Tasks.Items), FollowUps: []workflows.Batch{next}}, nil
		}
		res := b.run(t, window(1))
		require.Equal(t, 3, res.Tasks)
		require.Len(t, b.collected, 1, "the message settles once, with the last replacement")
	})

	t.Run("GoneFromTheStoreIsDeadLettered", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
			if in.Batch.Tasks.Items[0].SourceOffsets[0] == 101 {
				return workflows.Outcome{}, lostError("no such blob")
			}
			return succeed(in), nil
		}
		res := b.run(t, window(3))
		require.Equal(t, workflows.WindowResult{Messages: 3, Tasks: 3, Failed: 1, Delivered: 2, DeadLettered: 1}, res)
		require.Equal(t, workflows.ClassLost, b.buried()[0].Class)
	})

	t.Run("HookThatFailedWhereTheTaskRanIsCalledAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
			return workflows.Outcome{Calls: taskCalls(1, in.Batch.Tasks.Items[0])}, nil
		}
		rounds := 0
		b.collect = func(in workflows.CollectInput) (workflows.Outcome, error) {
			if rounds++; rounds == 1 {
				return workflows.Outcome{}, notYet()
			}
			require.Equal(t, 1, in.Attempts)
			return workflows.Outcome{Settled: countsOf([]workflows.TaskSpec{in.Calls.Items[0].Task.Spec}), Succeeded: 1}, nil
		}
		res := b.run(t, window(1))
		require.Equal(t, 2, rounds)
		require.Zero(t, res.DeadLettered)
	})

	t.Run("HooksGoneFromTheStoreAreDeadLettered", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
			return workflows.Outcome{Calls: taskCalls(1, in.Batch.Tasks.Items[0])}, nil
		}
		b.collect = func(workflows.CollectInput) (workflows.Outcome, error) {
			return workflows.Outcome{}, lostError("no such blob")
		}
		res := b.run(t, window(2))
		require.Equal(t, workflows.WindowResult{Messages: 2, Tasks: 2, Failed: 2, DeadLettered: 2}, res)
		require.Equal(t, workflows.ClassLost, b.buried()[0].Class)
	})
}

// Batches go to executors that have room: that is who says so, or whoever polls.
func TestWindowTasks_Queues(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
		p := planOf(in.Messages)
		p.Batches[0].Here = true
		return p, nil
	}
	queues := map[string]int{}
	b.env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if info.ActivityType.Name == workflows.ExecuteActivity {
			queues[info.TaskQueue]++
		}
	})
	b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		if s := &in.Batch.Tasks.Items[0]; in.Batch.Here {
			s.Attempt++
			again := batchOf(s.SourceOffsets...)
			return workflows.Outcome{FollowUps: []workflows.Batch{again}}, nil
		}
		return succeed(in), nil
	}
	require.Equal(t, 3, b.run(t, window(3)).Delivered)
	in := window(3)
	require.Equal(t, map[string]int{workflows.TaskQueue(in.Pipeline): 1, workflows.ExecuteQueue(in.Pipeline): 3}, queues)
}

func TestWindowHooks(t *testing.T) {
	t.Parallel()

	t.Run("MessageHookOncePerMessageAndWindowHookLast", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.set.Hooks.MessageComplete, b.set.Hooks.WindowComplete = true, true
		b.run(t, window(4))

		var stages []workflows.Stage
		seen := map[int64]int{}
		for _, c := range b.collected {
			stages = append(stages, c.Stage)
			for _, m := range c.Messages {
				if c.Stage == workflows.StageMessage {
					seen[m.Offset]++
				}
			}
		}
		require.Equal(t, map[int64]int{100: 1, 101: 1, 102: 1, 103: 1}, seen)
		require.Equal(t, workflows.StageWindow, stages[len(stages)-1])
		require.Len(t, b.collected[len(b.collected)-1].Messages, 4)
		require.Len(t, b.collected[len(b.collected)-1].Records, 4)
	})

	t.Run("MessageHookAlsoWithoutTasks", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.set.Hooks.MessageComplete = true
		b.arrange = func(workflows.ArrangeInput) (workflows.Plan, error) { return workflows.Plan{}, nil }
		b.run(t, window(2))
		require.Len(t, b.collected, 1)
		require.Len(t, b.collected[0].Messages, 2)
	})

	t.Run("GivenUpGoesToTheDLQ", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.set.Hooks.MessageComplete = true
		b.collect = func(in workflows.CollectInput) (workflows.Outcome, error) {
			if in.Attempts == 0 {
				return workflows.Outcome{Calls: messageCalls(1, in.Messages[0].Offset)}, nil
			}
			require.Equal(t, 3, in.Retry.MaxAttempts)
			require.Equal(t, []int64{100}, offsetsOf(in.Messages))
			o := in.Calls.Items[0].Offset
			return workflows.Outcome{Letters: listOf(workflows.Letter{Offset: o}), LetterOffsets: one(o), Buried: one(o)}, nil
		}
		res := b.run(t, window(1))
		require.Equal(t, 1, res.DeadLettered)
		require.Equal(t, 1, res.Delivered, "what the task returned is delivered all the same")
		require.Len(t, b.collected, 2)
	})

	t.Run("AGivenUpMessageHasNoFurtherHook", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.set.Hooks.MessageComplete, b.set.Hooks.WindowComplete = true, true
		b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
			s := in.Batch.Tasks.Items[0]
			if s.SourceOffsets[0] != 101 {
				return succeed(in), nil
			}
			return workflows.Outcome{
				Settled: countsOf(in.Batch.Tasks.Items), Failed: 1, Buried: one(101),
				Letters: listOf(workflows.Letter{Offset: 101}), LetterOffsets: one(101),
			}, nil
		}
		b.run(t, window(3))
		for _, c := range b.collected {
			require.NotContains(t, offsetsOf(c.Messages), int64(101))
		}
	})

	t.Run("HooksOfAMessageWithADeadTaskAreCalled", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.set.Hooks.MessageComplete = true
		b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
			return workflows.Outcome{
				Settled: countsOf(in.Batch.Tasks.Items), Failed: 1,
				Letters: listOf(workflows.Letter{Offset: 100}), LetterOffsets: one(100),
			}, nil
		}
		b.run(t, window(1))
		require.Len(t, b.collected, 1)
	})
}

func TestWindowDelivery(t *testing.T) {
	t.Parallel()

	ref := sinks.Ref{Type: sinks.Kafka, Name: "results"}

	t.Run("OneSinkWaitsAndTheOthersGoOn", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		tries := 0
		b.deliver = func(in workflows.DeliverInput) (workflows.DeliverResult, error) {
			if tries++; tries < 20 {
				attempts := 0
				if in.Job != nil {
					attempts = in.Job.Attempts
				}
				return workflows.DeliverResult{Pending: []workflows.DeliverJob{{
					To: ref, Items: listOf(workflows.Range{}), Offsets: one(100), After: time.Minute, Attempts: attempts + 1,
				}}}, nil
			}
			return arrived(in), nil
		}
		res := b.run(t, window(1))
		require.Equal(t, 1, res.Delivered)
		require.Equal(t, 20, tries)
		require.Len(t, b.timers, 19)
	})

	t.Run("DeadLettersTakeTheirSourceAlong", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		b.deliver = func(in workflows.DeliverInput) (workflows.DeliverResult, error) {
			if in.Job == nil {
				return workflows.DeliverResult{Pending: []workflows.DeliverJob{{
					DLQ: true, To: ref, Items: listOf(workflows.Range{}), Offsets: one(100),
				}}}, nil
			}
			return arrived(in), nil
		}
		res := b.run(t, window(1))
		require.Equal(t, 1, res.DeadLettered)
		last := b.delivered[len(b.delivered)-1]
		require.Equal(t, []int64{100}, offsetsOf(last.Sources))
	})

	t.Run("ADeadLetterQueueThatFailsIsWaitedFor", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		in := window(1)
		in.DeadLetter = true
		tries := 0
		b.deliver = func(in workflows.DeliverInput) (workflows.DeliverResult, error) {
			if tries++; tries <= 100 {
				return workflows.DeliverResult{Pending: []workflows.DeliverJob{{
					DLQ: true, Letters: true, Items: listOf(workflows.Range{}), Offsets: one(100), After: time.Minute,
				}}}, nil
			}
			return arrived(in), nil
		}
		require.Equal(t, 1, b.run(t, in).DeadLettered)
		require.Equal(t, 101, tries)
	})
}

func TestWindowProgress(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.execute = repeated(101, 25*time.Second)
	memo := b.memos(t)

	in := window(4)
	in.Messages[3].Offset, in.Last = 110, 110 // a gap
	b.run(t, in)
	require.Equal(t, []string{"[[100,100],[102,102]]"}, *memo, "once, without the open message and without the last")
}

// A message whose hook has returned is not done before what the hook returned
// has arrived.
func TestWindowProgress_WaitsForOutputsOfHooks(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.set.Hooks.MessageComplete = true
	b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		out := succeed(in)
		out.Outputs = blobs.List[workflows.Output]{} // only hooks return payloads
		return out, nil
	}
	b.collect = func(in workflows.CollectInput) (workflows.Outcome, error) {
		out := workflows.Outcome{}
		for _, m := range in.Messages {
			out.Outputs.Items = append(out.Outputs.Items, workflows.Output{Payload: sinks.Payload{
				Source: drakkar.Source{Offset: m.Offset},
			}})
		}
		out.Outputs.Len = len(out.Outputs.Items)
		return out, nil
	}
	b.deliver = func(in workflows.DeliverInput) (workflows.DeliverResult, error) {
		if in.Job != nil {
			return arrived(in), nil
		}
		o := in.Outputs[0].Items[0].Source.Offset
		if o == 102 {
			return arrived(in), nil
		}
		return workflows.DeliverResult{Pending: []workflows.DeliverJob{{
			Items: listOf(workflows.Range{}), Offsets: one(o), After: time.Hour, Attempts: 1,
		}}}, nil
	}
	memo := b.memos(t)

	b.run(t, window(4))
	require.Equal(t, "[[102,102]]", (*memo)[0])
}

// Messages that were published as done stay so while the window's hook, or what
// it returned, is under way: what has arrived is not to be done again.
func TestWindowProgress_NeverGoesBack(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.set.Hooks.WindowComplete = true
	b.execute = repeated(101, 25*time.Second)
	b.collect = func(workflows.CollectInput) (workflows.Outcome, error) {
		var out workflows.Outcome
		out.Outputs = listOf(workflows.Output{Payload: sinks.Payload{ID: "sum", Source: drakkar.Source{Offset: 100}}})
		return out, nil
	}
	b.deliver = func(in workflows.DeliverInput) (workflows.DeliverResult, error) {
		if in.Job == nil && in.Outputs[len(in.Outputs)-1].Items[0].ID == "sum" {
			return workflows.DeliverResult{Pending: []workflows.DeliverJob{{
				To: sinks.Ref{Type: sinks.Kafka, Name: "results"}, Items: listOf(workflows.Range{}),
				Offsets: one(100), After: time.Hour, Attempts: 1,
			}}}, nil
		}
		return arrived(in), nil
	}
	memo := b.memos(t)
	b.run(t, window(4))
	require.NotEmpty(t, *memo)
	for _, m := range *memo {
		require.Contains(t, m, "[100,100]")
	}
}

func TestRebalance(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name  string
		hooks drakkar.Hooks
		in    workflows.RebalanceInput
		calls int
	}{
		{"Assign", drakkar.Hooks{Assign: true}, workflows.RebalanceInput{Partitions: []int32{1}}, 1},
		{"Revoke", drakkar.Hooks{Revoke: true}, workflows.RebalanceInput{Revoked: true}, 1},
		{"NoHook", drakkar.Hooks{Assign: true}, workflows.RebalanceInput{Revoked: true}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t)
			b.set.Hooks = tt.hooks
			calls := 0
			registerRebalance(b, func() { calls++ })
			b.env.ExecuteWorkflow(workflows.RebalanceWorkflow, tt.in)
			require.NoError(t, b.env.GetWorkflowError())
			require.Equal(t, tt.calls, calls)
		})
	}
}

// Messages of which nothing has to be delivered are done when their tasks are.
func TestWindowProgress_WithoutOutputs(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		s := &in.Batch.Tasks.Items[0]
		if s.SourceOffsets[0] == 101 && s.Attempt == 1 {
			s.Attempt++
			in.Batch.After, in.Batch.Counts = time.Hour, countsOf(in.Batch.Tasks.Items)
			return workflows.Outcome{FollowUps: []workflows.Batch{in.Batch}}, nil
		}
		return workflows.Outcome{Settled: countsOf(in.Batch.Tasks.Items), Succeeded: 1}, nil
	}
	memo := b.memos(t)

	b.run(t, window(4))
	require.Equal(t, []string{"[[100,100],[102,102]]"}, *memo)
}
