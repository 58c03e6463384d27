package drakkartest_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/drakkartest"
)

// upper is a fake program: it fails for "fail" and "stop", and otherwise prints
// its argument in capitals.
func upper(t drakkar.Task) (drakkar.Result, error) {
	switch t.Args[0] {
	case "fail":
		return drakkar.Result{ExitCode: 3, Stderr: drakkar.Bytes("no")}, nil
	case "stop":
		return drakkar.Result{}, drakkar.TaskError{Kind: drakkar.TaskTimeout, Message: "timed out"}
	case "odd":
		return drakkar.Result{}, errors.New("odd")
	}
	return drakkar.Result{Stdout: drakkar.Bytes(strings.ToUpper(t.Args[0]))}, nil
}

func TestRun_EveryHookInItsOrder(t *testing.T) {
	t.Parallel()

	rep := drakkartest.Run(t, &handler{},
		drakkartest.Message(order{ID: "a", Parts: []string{"x", "y"}}),
		drakkartest.Message(order{ID: "b"}, drakkartest.Offset(5)),
		drakkartest.Message(`{"id":"c","parts":["z"]}`),
		drakkartest.Runner(upper),
	)
	rep.RequireNoErrors(t)
	require.Equal(t, []string{"x=X", "y=Y", "z=Z"}, texts(rep.TaskOutputs))
	require.Equal(t, []string{"a: 2 of 2", "b: 0 of 0", "c: 1 of 1"}, texts(rep.MessageOutputs))
	require.Equal(t, []string{"window: 3 results, 3 messages"}, texts(rep.WindowOutputs))
	require.Equal(t, 7, rep.Outputs.Len())
	require.Len(t, rep.Tasks, 3)
	require.Equal(t, "0-6-0", rep.Tasks[2].ID)
	require.Len(t, rep.Results, 3)
	require.Equal(t, rep.Tasks[1], rep.Results[1].Task)
	require.Equal(t, 1, rep.Results[1].Attempt)
	require.Len(t, rep.Groups, 3)
	require.True(t, rep.Groups[0].AllSucceeded())
	require.True(t, rep.Groups[1].IsEmpty())
	require.Equal(t, int64(6), rep.Groups[2].Message.Offset)
}

func TestRun_RealPrograms(t *testing.T) {
	t.Parallel()

	t.Run("Binary", func(t *testing.T) {
		t.Parallel()

		rep := drakkartest.Run(t, minimal{}, drakkartest.Binary("/bin/echo"), drakkartest.Slots(1),
			drakkartest.Message([]string{"a b", "$HOME"}), drakkartest.Message([]string{"c"}))
		rep.RequireNoErrors(t)
		require.Equal(t, "a b $HOME\n", rep.Results[0].Stdout.String())
		require.Equal(t, "c\n", rep.Results[1].Stdout.String())
		require.NotZero(t, rep.Results[0].PID)
	})
	t.Run("Resident", func(t *testing.T) {
		t.Parallel()

		// Says which request of the process it is.
		script := `echo '{"ready":1}'; while read -r l; do l=${l#*:}; printf '{"id":%s,"exit_code":0,"stdout":"%s"}\n' "${l%%,*}" "${l%%,*}"; done`
		rep := drakkartest.Run(t, minimal{}, drakkartest.Binary("/bin/sh"), drakkartest.Slots(1),
			drakkartest.Resident("lines", "-c", script), drakkartest.Message([]string{"a"}), drakkartest.Message([]string{"b"}))
		rep.RequireNoErrors(t)
		require.ElementsMatch(t, []string{"1", "2"}, []string{rep.Results[0].Stdout.String(), rep.Results[1].Stdout.String()})
		require.Equal(t, rep.Results[0].PID, rep.Results[1].PID)
	})
	t.Run("NoProgram", func(t *testing.T) {
		t.Parallel()

		rep := drakkartest.Run(t, minimal{}, drakkartest.Message([]string{"a"}))
		require.Len(t, rep.Failures, 1) // what cannot start is not repeated
		require.Equal(t, drakkar.TaskStart, rep.Failures[0].Error.Kind)
		require.Len(t, rep.DeadLetters, 1)
		require.True(t, rep.Groups[0].AnyFailed())
	})
	t.Run("RepeatedWithoutOnError", func(t *testing.T) {
		t.Parallel()

		rep := drakkartest.Run(t, minimal{}, drakkartest.Binary("/bin/false"), drakkartest.Attempts(2), drakkartest.Message([]string{}))
		require.Len(t, rep.Failures, 2)
		require.Equal(t, "retry", rep.Failures[0].Action)
		require.Equal(t, "dead_letter", rep.Failures[1].Action)
		require.Equal(t, 2, rep.Failures[1].Attempt)
		require.ErrorContains(t, rep.Err(), "exit code 1")
		require.Len(t, rep.Groups[0].Errors, 1)
		require.Equal(t, 1, rep.Groups[0].Total())
	})
}

// execer runs its tasks in Go.
type execer struct{ minimal }

func (execer) Execute(_ context.Context, t drakkar.Task) (drakkar.Result, error) {
	if t.Args[0] == "panic" {
		panic("no")
	}
	return drakkar.Result{Stdout: drakkar.Bytes(t.Args[0])}, nil
}

func (execer) TaskPriority(drakkar.Task) float64 { panic("no priority") }

func TestRun_Execute(t *testing.T) {
	t.Parallel()

	rep := drakkartest.Run(t, execer{}, drakkartest.Message([]string{"a"}), drakkartest.Message([]string{"panic"}),
		drakkartest.Attempts(1))
	require.Len(t, rep.Results, 1)
	require.Equal(t, "a", rep.Results[0].Stdout.String())
	require.Len(t, rep.Errors, 1)
	require.Equal(t, drakkar.TaskExecute, rep.Errors[0].Kind)
	require.Len(t, rep.HookErrors, 2)
	require.ErrorContains(t, rep.HookErrors[0], "task_priority panicked")
}

func TestRun_OnError(t *testing.T) {
	t.Parallel()

	message := func(parts ...string) drakkartest.Input { return drakkartest.Message(order{ID: "a", Parts: parts}) }
	deep := func(t drakkar.Task, _ drakkar.TaskError) drakkar.ErrorAction {
		return drakkar.Replace(drakkar.Task{Args: t.Args})
	}
	for _, tt := range []struct {
		name    string
		part    string
		onError func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction
		actions []string
		groups  [4]int // total, succeeded, failed, replaced
		letters int
	}{
		{"Skip", "fail", func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { return drakkar.Skip() }, []string{"skip"}, [4]int{1, 0, 1, 0}, 0},
		{"DeadLetter", "stop", func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { return drakkar.DeadLetter() }, []string{"dead_letter"}, [4]int{1, 0, 1, 0}, 1},
		{"RetryExhausted", "odd", func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { return drakkar.Retry(time.Hour) }, []string{"retry", "retry", "dead_letter"}, [4]int{1, 0, 1, 0}, 1},
		{"ReplacedByTwo", "fail", func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction {
			return drakkar.Replace(drakkar.Task{Args: []string{"x"}}, drakkar.Task{Args: []string{"y"}})
		}, []string{"replace"}, [4]int{3, 2, 0, 1}, 0},
		{"ReplacedByNothing", "fail", func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { return drakkar.Replace() }, []string{"replace"}, [4]int{1, 0, 0, 1}, 0},
		{"RetriedThenReplaced", "fail", func() func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction {
			n := 0
			return func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction {
				if n++; n < 3 {
					return drakkar.Retry(0)
				}
				return drakkar.Replace(drakkar.Task{Args: []string{"x"}})
			}
		}(), []string{"retry", "retry", "replace"}, [4]int{2, 1, 0, 1}, 0},
		{"ReplacedByFailureSkipped", "fail", func(t drakkar.Task, _ drakkar.TaskError) drakkar.ErrorAction {
			if t.ParentID == "" {
				return drakkar.Replace(drakkar.Task{Args: []string{"fail"}})
			}
			return drakkar.Skip()
		}, []string{"replace", "skip"}, [4]int{2, 0, 1, 1}, 0},
		{"TooDeep", "fail", deep, append(strings.Fields(strings.Repeat("replace ", 10)), "dead_letter"), [4]int{11, 0, 1, 10}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			rep := drakkartest.Run(t, &handler{onError: tt.onError}, message(tt.part), drakkartest.Attempts(3), drakkartest.Runner(upper))
			require.Empty(t, rep.HookErrors)
			var actions []string
			for _, f := range rep.Failures {
				actions = append(actions, f.Action)
				require.Equal(t, f.Action == "retry" && tt.name == "RetryExhausted", f.After == time.Hour)
			}
			require.Equal(t, tt.actions, actions)
			g := rep.Groups[0]
			counted := [4]int{g.Total(), g.Succeeded(), g.Failed(), g.Replaced()}
			require.Equal(t, tt.groups, counted)
			require.Len(t, rep.DeadLetters, tt.letters)
			require.Len(t, rep.MessageOutputs.Kafka, 1)
		})
	}
}

func TestRun_Replacement(t *testing.T) {
	t.Parallel()

	h := &handler{onError: func(_ drakkar.Task, _ drakkar.TaskError) drakkar.ErrorAction {
		return drakkar.Replace(drakkar.Task{
			Args: []string{"known"}, Precomputed: &drakkar.Precomputed{Stdout: drakkar.Bytes("42")},
			Metadata: map[string]any{"n": []int{1}},
		})
	}}
	rep := drakkartest.Run(t, h, drakkartest.Message(order{Parts: []string{"fail"}}), drakkartest.Runner(upper))
	rep.RequireNoErrors(t)
	require.Equal(t, []string{"known=42"}, texts(rep.TaskOutputs))
	require.Equal(t, "0-0-0.0", rep.Tasks[1].ID)
	require.Equal(t, map[string]any{"n": []any{1.0}}, rep.Tasks[1].Metadata)
	require.Equal(t, "0-0-0", rep.Tasks[1].ParentID)
	require.Equal(t, []int64{0}, rep.Tasks[1].SourceOffsets)

	h.onError = func(task drakkar.Task, _ drakkar.TaskError) drakkar.ErrorAction {
		task.Args = []string{"changed"}
		return drakkar.Replace(task)
	}
	rep = drakkartest.Run(t, h, drakkartest.Message(order{Parts: []string{"fail"}}), drakkartest.Runner(upper))
	require.Equal(t, "0-0-0.0", rep.Tasks[1].ID, "a copy is another task")

	h.onError = func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction {
		return drakkar.Replace(drakkar.Task{SourceOffsets: []int64{77}})
	}
	rep = drakkartest.Run(t, h, drakkartest.Message(order{Parts: []string{"fail"}}), drakkartest.Runner(upper))
	require.Len(t, rep.HookErrors, 1)
	require.ErrorContains(t, rep.HookErrors[0], "offset 77")
	require.Len(t, rep.DeadLetters, 1)
	require.Empty(t, rep.MessageOutputs.Kafka)
}

func TestRun_PoisonedMessageStandsAlone(t *testing.T) {
	t.Parallel()

	h := &handler{}
	h.arrange = func(w drakkar.Window[order]) ([]drakkar.Task, error) {
		var tasks []drakkar.Task
		for _, m := range w.Messages {
			if m.Payload.ID == "bad" {
				return nil, errors.New("poison")
			}
			tasks = append(tasks, m.Task("x"))
		}
		return tasks, nil
	}
	var in []drakkartest.Input
	for _, id := range []string{"a", "b", "bad", "c", "d"} {
		in = append(in, drakkartest.Message(order{ID: id}))
	}
	rep := drakkartest.Run(t, h, append(in, drakkartest.Runner(upper))...)
	require.Len(t, rep.Results, 4)
	require.Len(t, rep.DeadLetters, 1)
	require.Equal(t, int64(2), rep.DeadLetters[0].Offset)
	require.Len(t, rep.HookErrors, 3) // of five messages, of three, and alone
	require.Len(t, rep.MessageOutputs.Kafka, 4)
}

func TestRun_HookErrorsAreReported(t *testing.T) {
	t.Parallel()

	boom := errors.New("boom")
	for _, tt := range []struct {
		name   string
		change func(*handler)
		want   string
		// what is delivered all the same
		tasks, messages, windows int
	}{
		{"Task", func(h *handler) {
			h.onTask = func(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
				if r.Task.Args[0] == "y" {
					return kafka("lost"), boom
				}
				return kafka("x"), nil
			}
		}, "on_task_complete: boom", 1, 1, 1},
		{"TaskPanic", func(h *handler) {
			h.onTask = func(context.Context, drakkar.Result) (drakkar.CollectResult, error) { panic(boom) }
		}, "on_task_complete panicked: boom", 0, 0, 1},
		{"Message", func(h *handler) {
			h.onGroup = func(drakkar.MessageGroup[order]) (drakkar.CollectResult, error) { return kafka("lost"), boom }
		}, "on_message_complete: boom", 2, 0, 1},
		{"Window", func(h *handler) {
			h.onWindow = func([]drakkar.Result, []drakkar.Message[order]) (drakkar.CollectResult, error) {
				return kafka("lost"), boom
			}
		}, "on_window_complete: boom", 2, 2, 0},
		{"Unencodable", func(h *handler) {
			h.onGroup = func(drakkar.MessageGroup[order]) (drakkar.CollectResult, error) {
				return drakkar.CollectResult{Redis: []drakkar.RedisPayload{{Key: "k", Data: math.NaN()}}}, nil
			}
		}, "redis payload 0: json: unsupported value", 2, 0, 1},
		{"NoObjectForPostgres", func(h *handler) {
			h.onGroup = func(drakkar.MessageGroup[order]) (drakkar.CollectResult, error) {
				return drakkar.CollectResult{Postgres: []drakkar.PostgresPayload{{Data: []int{1}}}}, nil
			}
		}, `must be a JSON object, and this is "[1]"`, 2, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			h := &handler{}
			tt.change(h)
			rep := drakkartest.Run(t, h, drakkartest.Runner(upper),
				drakkartest.Message(order{Parts: []string{"x"}}), drakkartest.Message(order{Parts: []string{"y"}}))
			require.ErrorContains(t, rep.HookErrors[0], tt.want)
			require.Len(t, rep.TaskOutputs.Kafka, tt.tasks)
			require.Len(t, rep.MessageOutputs.Kafka, tt.messages)
			require.Len(t, rep.WindowOutputs.Kafka, tt.windows)
			require.NotEmpty(t, rep.DeadLetters)

			said := failing(t, rep.RequireNoErrors)
			require.Len(t, said, 1)
			require.Contains(t, said[0], tt.want)
		})
	}
}

func TestRun_Input(t *testing.T) {
	t.Parallel()

	at := time.UnixMilli(1700000000000).UTC()
	var seen []drakkar.Message[order]
	var pending []drakkar.Task
	h := &handler{arrange: func(w drakkar.Window[order]) (tasks []drakkar.Task, err error) {
		seen = w.Messages
		pending, err = w.Pending(context.Background())
		return nil, err
	}}
	rep := drakkartest.Run(t, h,
		drakkartest.Partition("orders", 4),
		drakkartest.Pending(drakkar.Task{ID: "4-1-0"}),
		drakkartest.PassUnparsed(),
		drakkartest.Message(nil),
		drakkartest.Message("", drakkartest.Offset(10), drakkartest.Timestamp(at)),
		drakkartest.Message([]byte(`{"id":"b"}`), drakkartest.Key(""), drakkartest.Header("h", "1"), drakkartest.Header("h", "2")),
	)
	rep.RequireNoErrors(t)
	require.Len(t, seen, 3)
	require.True(t, seen[0].Tombstone())
	require.Equal(t, "orders/4@0", seen[0].String())
	require.Nil(t, seen[0].Key)
	require.False(t, seen[1].Tombstone())
	require.Error(t, seen[1].PayloadErr)
	require.Equal(t, at, seen[1].Timestamp)
	require.Equal(t, "b", seen[2].Payload.ID)
	require.Equal(t, int64(11), seen[2].Offset)
	require.NotNil(t, seen[2].Key)
	require.Equal(t, []drakkar.Header{{Key: "h", Value: drakkar.Bytes("1")}, {Key: "h", Value: drakkar.Bytes("2")}}, seen[2].Headers)
	require.Equal(t, []drakkar.Task{{ID: "4-1-0"}}, pending)
}

// What a task carries changes on its way as it does in production.
func TestRun_TasksTravelAsJSON(t *testing.T) {
	t.Parallel()

	var got any
	h := &handler{
		arrange: func(w drakkar.Window[order]) ([]drakkar.Task, error) {
			task := w.Messages[0].Task("x")
			task.Metadata = map[string]any{"n": 1}
			return []drakkar.Task{task}, nil
		},
		onTask: func(ctx context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
			got = r.Task.Metadata["n"]
			drakkar.Annotate(ctx, "seen", map[string]any{"n": got})
			return drakkar.CollectResult{}, nil
		},
	}
	rep := drakkartest.Run(t, h, drakkartest.Message("{}"), drakkartest.Runner(upper))
	rep.RequireNoErrors(t)
	require.InDelta(t, 1, got, 0)
	require.Len(t, rep.Annotations, 1)
	require.Equal(t, "0-0-0", rep.Annotations[0].Scope.TaskID)
	require.Equal(t, "on_task_complete", rep.Annotations[0].Scope.Hook)
}

// misfit has a hook for messages of another type.
type misfit struct{ minimal }

func (misfit) OnMessageComplete(context.Context, drakkar.MessageGroup[int]) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{}, nil
}

func TestTry_RefusesWindowsThatCannotBe(t *testing.T) {
	t.Parallel()

	p := drakkar.NewPipeline(minimal{})
	for _, tt := range []struct {
		name     string
		pipeline *drakkar.Pipeline
		inputs   []drakkartest.Input
		want     string
	}{
		{"NoMessages", p, nil, "at least one message"},
		{"OffsetsGoBack", p, []drakkartest.Input{drakkartest.Message("[]", drakkartest.Offset(3)), drakkartest.Message("[]", drakkartest.Offset(3))}, "offsets must rise"},
		{"Unencodable", p, []drakkartest.Input{drakkartest.Message(func() {})}, "encoding message 0"},
		{"NoSlots", p, []drakkartest.Input{drakkartest.Message("[]"), drakkartest.Slots(0)}, "max_executors"},
		{"Misfit", drakkar.NewPipeline(misfit{}), []drakkartest.Input{drakkartest.Message("[]")}, "OnMessageComplete would never be called"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			_, err := drakkartest.Try(t.Context(), tt.pipeline, tt.inputs...)
			require.ErrorContains(t, err, tt.want)
			said := failing(t, func(tb testing.TB) { drakkartest.RunPipeline(tb, tt.pipeline, tt.inputs...) })
			require.Len(t, said, 1)
			require.Contains(t, said[0], tt.want)
		})
	}
}
