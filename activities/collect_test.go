package activities_test

import (
	"errors"
	"testing"

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
	input := func(calls ...workflows.HookCall) workflows.CollectInput {
		return workflows.CollectInput{
			Window: ref(), Calls: calls, Messages: messages("x", "y"),
			Tasks: []blobs.List[workflows.TaskSpec]{list(
				workflows.TaskSpec{Task: replaced}, workflows.TaskSpec{Task: ok}, workflows.TaskSpec{Task: failed},
			)},
			Records: []blobs.List[workflows.TaskRecord]{list(
				workflows.TaskRecord{ID: "a", Offsets: []int64{100}},
				workflows.TaskRecord{ID: "b", Offsets: []int64{100, 101}, Result: &drakkar.Result{Stdout: drakkar.Bytes("out")}},
				workflows.TaskRecord{ID: "c", Offsets: []int64{101}, Error: &drakkar.TaskError{Kind: drakkar.TaskExit}},
			)},
		}
	}
	call := func(o int64) workflows.HookCall {
		return workflows.HookCall{Stage: workflows.StageMessage, Offset: o, Offsets: []int64{o}}
	}

	t.Run("GroupsKnowAllOfTheirTasks", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		groups := make(chan drakkar.MessageGroup[string], 2)
		b.handler.message = func(g drakkar.MessageGroup[string]) (drakkar.CollectResult, error) {
			groups <- g
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: g.Message.Payload}}}, nil
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, input(call(100), call(101)))
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
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, input(call(100), call(101)))
		require.NoError(t, err)
		require.Equal(t, 1, out.Outputs.Len)
		require.Len(t, out.Calls, 1)
		require.Equal(t, int64(100), out.Calls[0].Offset)
		require.Equal(t, 1, out.Calls[0].Attempts)
		require.Contains(t, out.Calls[0].Error, "no x today")
	})

	t.Run("WindowHookSeesSuccessesAndMessages", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.window = func(rs []drakkar.Result, ms []drakkar.Message[string]) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []int{len(rs), len(ms)}}}}, nil
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, input(workflows.HookCall{Stage: workflows.StageWindow}))
		require.NoError(t, err)
		require.Equal(t, "[1,2]", out.Outputs.Items[0].Value.String())
		require.Equal(t, []int64{101}, out.Outputs.Items[0].Also, "all messages wait for it")
	})

	t.Run("TaskHookAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		in := input(workflows.HookCall{Stage: workflows.StageTask, Offsets: []int64{100, 101}, Task: list(
			workflows.TaskCall{Spec: workflows.TaskSpec{Task: ok, Index: "0"}, Result: &drakkar.Result{Stdout: drakkar.Bytes("kept")}},
		)})
		in.WantRecords = true
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, in)
		require.NoError(t, err)
		require.Equal(t, []workflows.Count{{Offset: 100, N: 1}, {Offset: 101, N: 1}}, out.Settled)
		require.Equal(t, "kept", out.Outputs.Items[0].Value.String())
		require.Equal(t, 1, out.Records.Len)
	})

	t.Run("GivingUp", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		task := workflows.HookCall{Stage: workflows.StageTask, Offsets: []int64{100, 101}, Error: "still away", Attempts: 8, Task: list(
			workflows.TaskCall{Spec: workflows.TaskSpec{Task: ok}, Result: &drakkar.Result{}},
		)}
		in := input(task, call(101))
		in.GiveUp = true
		out, err := run[workflows.Outcome](t, b, b.acts.Collect, in)
		require.NoError(t, err)
		require.Equal(t, []workflows.Count{{Offset: 100, N: 1}, {Offset: 101, N: 1}}, out.Settled, "once for each message of the task")
		require.Equal(t, []int64{100, 101}, out.LetterOffsets)
		require.Equal(t, 3, out.Letters.Len)
		require.Equal(t, 8, out.Letters.Items[0].Attempts)
		require.Equal(t, workflows.ClassHook, out.Letters.Items[0].Class)
	})
}
