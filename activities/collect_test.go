package activities_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/workflows"
)

func list[T any](items ...T) blobs.List[T] { return blobs.List[T]{Items: items, Len: len(items)} }

func TestCollect(t *testing.T) {
	t.Parallel()

	replaced := drakkar.Task{ID: "a", SourceOffsets: []int64{100}}
	ok := drakkar.Task{ID: "b", SourceOffsets: []int64{100, 101}, ParentID: "a"}
	failed := drakkar.Task{ID: "c", SourceOffsets: []int64{101}}
	input := func() workflows.CollectInput {
		return workflows.CollectInput{
			Window: ref(), Stage: workflows.StageMessage, Messages: messages("x", "y"), Retry: retry(3),
			Records: []blobs.List[workflows.TaskRecord]{list(
				workflows.TaskRecord{Task: failed, Index: "10", Error: &drakkar.TaskError{Kind: drakkar.TaskExit}},
				workflows.TaskRecord{Task: ok, Index: "0.0", Result: &drakkar.Result{Stdout: drakkar.Bytes("out")}},
				workflows.TaskRecord{Task: replaced, Index: "0"},
			)},
		}
	}
	taskCall := func() workflows.HookCall {
		return workflows.HookCall{Stage: workflows.StageTask, Attempts: 1, Task: &workflows.TaskCall{
			Spec: workflows.TaskSpec{Task: ok, Index: "0"}, Result: &drakkar.Result{Stdout: drakkar.Bytes("kept")},
		}}
	}
	calling := func(calls ...workflows.HookCall) workflows.CollectInput {
		return workflows.CollectInput{Window: ref(), Calls: list(calls...), Attempts: 1, Retry: retry(3)}
	}

	t.Run("GroupsKnowAllOfTheirTasks", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		groups := make(chan drakkar.MessageGroup[string], 2)
		b.handler.message = func(g drakkar.MessageGroup[string]) (drakkar.CollectResult, error) {
			groups <- g
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: g.Message.Payload}}}, nil
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, input())
		require.NoError(t, err)
		require.Equal(t, []string{`"x"`, `"y"`}, []string{
			out.Outputs.Items[0].Value.String(), out.Outputs.Items[1].Value.String(),
		}, "in the order of the calls")
		require.Equal(t, "t~abcd/3/101/m/0", out.Outputs.Items[1].ID)
		byPayload := map[string]drakkar.MessageGroup[string]{}
		for range 2 {
			g := <-groups
			byPayload[g.Message.Payload] = g
		}
		x, y := byPayload["x"], byPayload["y"]
		require.Equal(t, []int{2, 1, 0, 1}, []int{x.Total(), x.Succeeded(), x.Failed(), x.Replaced()})
		require.Equal(t, "b", x.Results[0].Task.ID)
		require.Equal(t, []string{"a", "b"}, []string{x.Tasks[0].ID, x.Tasks[1].ID}, "in their order, not in that of their ends")
		require.Equal(t, []int{2, 1, 1, 0}, []int{y.Total(), y.Succeeded(), y.Failed(), y.Replaced()})
	})

	t.Run("OneHookFailsAndTheOthersGoOn", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.message = func(g drakkar.MessageGroup[string]) (drakkar.CollectResult, error) {
			if g.Message.Payload == "x" {
				return drakkar.CollectResult{}, errors.New("no x today")
			}
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: 1}}}, nil
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, input())
		require.NoError(t, err)
		require.Equal(t, 1, out.Outputs.Len)
		require.Equal(t, 1, out.Calls.List.Len)
		require.Equal(t, 1, out.Calls.Attempts)
		require.Equal(t, []workflows.Range{{First: 100, Last: 100}}, out.Calls.Messages)
		call := out.Calls.List.Items[0]
		require.Equal(t, int64(100), call.Offset)
		require.Equal(t, 1, call.Attempts)
		require.Contains(t, call.Error, "no x today")
	})

	t.Run("WindowHookSeesSuccessesAndMessages", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.window = func(rs []drakkar.Result, ms []drakkar.Message[string]) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []int{len(rs), len(ms)}}}}, nil
		}
		in := input()
		in.Stage = workflows.StageWindow
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, in)
		require.NoError(t, err)
		require.Equal(t, "[1,2]", out.Outputs.Items[0].Value.String())
		require.Equal(t, []int64{101}, out.Outputs.Items[0].Also, "all messages wait for it")
	})

	t.Run("TaskHookAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		in := calling(taskCall())
		in.WantRecords, in.RecordLimit = true, 1<<10
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, in)
		require.NoError(t, err)
		require.Equal(t, workflows.Counts{count(100, 101, 1)}, out.Settled)
		require.Equal(t, "kept", out.Outputs.Items[0].Value.String())
		require.Equal(t, "b", out.Records.Items[0].Task.ID)
	})

	t.Run("TemporalRepeatsWhileEveryCallFails", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{}, errors.New("away")
		}
		_, err := run[workflows.Outcome](t, b, b.acts.Collect, calling(taskCall()))
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		require.Equal(t, 2*time.Second, nextRetry(t, err))
		var state struct{ Attempts int }
		require.NoError(t, b.beat.Get(&state))
		require.Equal(t, 2, state.Attempts, "the next run goes on counting")
	})

	t.Run("PatientUntilEachHasSucceeded", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		var mu sync.Mutex
		calls, down := map[string]int{}, map[string]int{"b": 1, "c": 2}
		b.handler.complete = func(r drakkar.Result) (drakkar.CollectResult, error) {
			mu.Lock()
			defer mu.Unlock()
			calls[r.Task.ID]++
			if down[r.Task.ID]--; down[r.Task.ID] >= 0 {
				return drakkar.CollectResult{}, errors.New("away")
			}
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []byte(r.Task.ID)}}}, nil
		}
		task := func(id string, offset int64) workflows.HookCall {
			c := taskCall()
			spec := c.Task.Spec
			spec.ID, spec.SourceOffsets = id, []int64{offset}
			return workflows.HookCall{Stage: c.Stage, Task: &workflows.TaskCall{Spec: spec, Result: c.Task.Result}, Attempts: 1}
		}
		in := calling(task("a", 100), task("b", 101), task("c", 102))
		in.Patient, in.Retry.MaxAttempts = true, 5
		in.WantRecords, in.RecordLimit = true, 1<<20
		for range 2 {
			_, err := run[workflows.Outcome](t, b, b.acts.Collect, in)
			require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
			b.resume(t)
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, in)
		require.NoError(t, err)
		require.Equal(t, map[string]int{"a": 1, "b": 2, "c": 3}, calls, "what has succeeded is not called again")
		require.Zero(t, out.Calls.List.Len)
		require.Equal(t, workflows.Counts{count(100, 102, 1)}, out.Settled)
		require.Equal(t, 3, out.Succeeded)
		require.Equal(t, 3, out.Outputs.Len)
		require.Equal(t, 3, out.Records.Len)
	})

	t.Run("GivingUp", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{}, errors.New("still away")
		}
		b.handler.message = func(drakkar.MessageGroup[string]) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{}, errors.New("away too")
		}
		b.env.SetHeartbeatDetails(map[string]any{"attempts": 2})
		in := calling(taskCall(), workflows.HookCall{Stage: workflows.StageMessage, Offset: 101, Attempts: 1})
		in.Messages = messages("x", "y")
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, in)
		require.NoError(t, err)
		require.Equal(t, workflows.Counts{count(100, 101, 1)}, out.Settled, "once for each message of the task")
		require.Equal(t, []workflows.Range{{First: 100, Last: 101}}, out.LetterOffsets)
		require.Equal(t, out.LetterOffsets, out.Buried)
		require.Equal(t, 2, out.Letters.Len)
		require.Equal(t, 3, out.Letters.Items[0].Attempts)
		require.Equal(t, workflows.ClassHook, out.Letters.Items[0].Class)
		require.Zero(t, out.Calls.List.Len)
	})

	t.Run("GivingUpOneDoesNotTakeTheOthersAlong", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.complete = func(r drakkar.Result) (drakkar.CollectResult, error) {
			if r.Task.ID == "b" {
				return drakkar.CollectResult{}, errors.New("never")
			}
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: 1}}}, nil
		}
		good := taskCall()
		good.Task.Spec.Task = failed
		in := calling(taskCall(), good)
		in.Attempts = 2
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, in)
		require.NoError(t, err)
		require.Equal(t, 1, out.Letters.Len)
		require.Equal(t, 1, out.Succeeded)
		require.Equal(t, 1, out.Outputs.Len)
	})
}
