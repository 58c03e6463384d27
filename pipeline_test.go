package drakkar_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
)

// plain is a handler for any type of messages, with Arrange alone.
type plain[In any] struct {
	seen *drakkar.Window[In]
	err  error
	make func(drakkar.Window[In]) []drakkar.Task
}

func (p *plain[In]) Arrange(_ context.Context, w drakkar.Window[In]) ([]drakkar.Task, error) {
	p.seen = &w
	if p.make == nil {
		return nil, p.err
	}
	return p.make(w), p.err
}

type point struct {
	X int `json:"x"`
}

// full has every hook, and all of them do what do says.
type full struct {
	plain[point]
	do    func()
	calls []string
}

func (f *full) call(name string) {
	f.calls = append(f.calls, name)
	if f.do != nil {
		f.do()
	}
}

var errHook = errors.New("no")

func (f *full) Deserialize(_ context.Context, r drakkar.Record) (point, error) {
	f.call("deserialize")
	return point{X: len(r.Value)}, errHook
}

func (f *full) MessageLabel(m drakkar.Message[point]) string {
	f.call("message_label")
	return fmt.Sprintf("point %d", m.Payload.X)
}

func (f *full) OnTaskComplete(context.Context, drakkar.Result) (drakkar.CollectResult, error) {
	f.call("on_task_complete")
	return drakkar.CollectResult{HTTP: make([]drakkar.HTTPPayload, 1)}, errHook
}

func (f *full) OnMessageComplete(context.Context, drakkar.MessageGroup[point]) (drakkar.CollectResult, error) {
	f.call("on_message_complete")
	return drakkar.CollectResult{}, errHook
}

func (f *full) OnWindowComplete(context.Context, []drakkar.Result, []drakkar.Message[point]) (drakkar.CollectResult, error) {
	f.call("on_window_complete")
	return drakkar.CollectResult{}, errHook
}

func (f *full) OnError(context.Context, drakkar.Task, drakkar.TaskError) drakkar.ErrorAction {
	f.call("on_error")
	return drakkar.Retry(1)
}

func (f *full) OnDeliveryError(context.Context, drakkar.DeliveryError) drakkar.DeliveryAction {
	f.call("on_delivery_error")
	return drakkar.SkipDelivery()
}

func (f *full) Execute(context.Context, drakkar.Task) (drakkar.Result, error) {
	f.call("execute")
	return drakkar.Result{ExitCode: 2}, errHook
}

func (f *full) TaskPriority(drakkar.Task) float64 {
	f.call("task_priority")
	return 7
}

func (f *full) OnAssign(context.Context, string, []int32) error {
	f.call("on_assign")
	return errHook
}

func (f *full) OnRevoke(context.Context, string, []int32) error {
	f.call("on_revoke")
	return errHook
}

func (f *full) Periodics() []drakkar.Periodic { return nil }

func record(value string) drakkar.Record {
	return drakkar.Record{Topic: "t", Partition: 3, Offset: 7, Value: drakkar.Bytes(value)}
}

func TestPipeline_FindsHooks(t *testing.T) {
	t.Parallel()

	none := drakkar.NewPipeline(&plain[point]{})
	require.Equal(t, drakkar.Hooks{}, none.Hooks())
	require.NoError(t, none.Check())

	h := &full{}
	all := drakkar.NewPipeline(h)
	require.Equal(t, drakkar.Hooks{
		TaskComplete: true, MessageComplete: true, WindowComplete: true, Error: true, DeliveryError: true,
		Execute: true, Assign: true, Revoke: true,
	}, all.Hooks())
	require.NoError(t, all.Check())
	require.Same(t, h, all.Handler())
}

// callAll calls every hook of a pipeline and returns their errors by name.
func callAll(ctx context.Context, p *drakkar.Pipeline) map[string]error {
	errs := map[string]error{}
	m := p.Parse(ctx, record("{}"))
	errs["deserialize"] = m.Err
	_, errs["on_task_complete"] = p.OnTaskComplete(ctx, drakkar.Result{})
	_, errs["on_message_complete"] = p.OnMessageComplete(ctx, drakkar.GroupInput{Message: m})
	_, errs["on_window_complete"] = p.OnWindowComplete(ctx, nil, []drakkar.Parsed{m})
	_, _, errs["on_error"] = p.OnError(ctx, drakkar.Task{}, drakkar.TaskError{})
	_, errs["on_delivery_error"] = p.OnDeliveryError(ctx, drakkar.DeliveryError{})
	_, errs["execute"] = p.Execute(ctx, drakkar.Task{})
	_, errs["task_priority"] = p.Priority(drakkar.Task{})
	errs["on_assign"] = p.OnAssign(ctx, "t", []int32{1})
	errs["on_revoke"] = p.OnRevoke(ctx, "t", []int32{1})
	return errs
}

func TestPipeline_HookErrors(t *testing.T) {
	t.Parallel()

	for name, err := range callAll(t.Context(), drakkar.NewPipeline(&full{})) {
		if name == "on_error" || name == "on_delivery_error" || name == "task_priority" {
			require.NoError(t, err, name) // they have no error to return
			continue
		}
		require.ErrorIs(t, err, errHook, name)
		require.EqualError(t, err, name+": no")
		var he *drakkar.HookError
		require.ErrorAs(t, err, &he)
		require.False(t, he.Panic)
		require.Empty(t, he.Stack)
	}
}

func TestPipeline_PanicsAreHookErrors(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		do   func()
		want string
	}{
		{"Text", func() { panic("boom") }, "boom"},
		{"Error", func() { panic(errHook) }, "no"},
		{"Nil", func() { panic(nil) }, "panic called with nil argument"}, //nolint:govet // on purpose
		{"Runtime", func() { _ = []int{}[len("x")] }, "index out of range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			h := &full{do: tt.do}
			p := drakkar.NewPipeline(h)
			for name, err := range callAll(t.Context(), p) {
				var he *drakkar.HookError
				require.ErrorAs(t, err, &he, name)
				require.True(t, he.Panic)
				require.Equal(t, name, he.Hook)
				require.ErrorContains(t, err, name+" panicked: ")
				require.ErrorContains(t, err, tt.want)
				require.Contains(t, he.Stack, "pipeline_test.go")
			}
			require.Len(t, h.calls, 10)
			require.Equal(t, "3:7", p.Label(drakkar.Parsed{Record: record("{}")}))
		})
	}
}

func TestPipeline_WithoutHooks(t *testing.T) {
	t.Parallel()

	p := drakkar.NewPipeline(&plain[point]{})
	for name, err := range callAll(t.Context(), p) {
		if name == "execute" {
			require.ErrorContains(t, err, "has no Execute")
		} else {
			require.NoError(t, err, name)
		}
	}
	_, asked, err := p.OnError(t.Context(), drakkar.Task{}, drakkar.TaskError{})
	require.NoError(t, err)
	require.False(t, asked)
	action, err := p.OnDeliveryError(t.Context(), drakkar.DeliveryError{})
	require.NoError(t, err)
	require.Equal(t, drakkar.DLQ(), action)
	require.Equal(t, "3:7", p.Label(p.Parse(t.Context(), record("{}"))))
}

func TestPipeline_Priority(t *testing.T) {
	t.Parallel()

	own := -1.5
	for _, tt := range []struct {
		name string
		p    *drakkar.Pipeline
		task drakkar.Task
		want float64
	}{
		{"TheTasksOwn", drakkar.NewPipeline(&full{}), drakkar.Task{Priority: &own}, -1.5},
		{"TheHooks", drakkar.NewPipeline(&full{}), drakkar.Task{}, 7},
		{"None", drakkar.NewPipeline(&plain[point]{}), drakkar.Task{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			got, err := tt.p.Priority(tt.task)
			require.NoError(t, err)
			require.InDelta(t, tt.want, got, 0)
		})
	}
}

// parsed is what a handler for messages of type In sees of a value.
func parsed[In any](t *testing.T, rec drakkar.Record) drakkar.Message[In] {
	t.Helper()
	h := &plain[In]{}
	p := drakkar.NewPipeline(h)
	_, err := p.Arrange(t.Context(), drakkar.ArrangeInput{Messages: []drakkar.Parsed{p.Parse(t.Context(), rec)}})
	require.NoError(t, err)
	return h.seen.Messages[0]
}

type (
	word string
	blob []byte
)

func TestPipeline_ParseDefaults(t *testing.T) {
	t.Parallel()

	odd := record("not json \xff")
	require.Equal(t, []byte(odd.Value), parsed[[]byte](t, odd).Payload)
	require.Equal(t, odd.Value, parsed[drakkar.Bytes](t, odd).Payload)
	require.Equal(t, blob(odd.Value), parsed[blob](t, odd).Payload)
	require.Equal(t, "not json \xff", parsed[string](t, odd).Payload)
	require.Equal(t, word("not json \xff"), parsed[word](t, odd).Payload)

	verbatim := record(`{"x": 1}`)
	require.Equal(t, []byte(verbatim.Value), []byte(parsed[json.RawMessage](t, verbatim).Payload))
	require.Error(t, parsed[json.RawMessage](t, odd).PayloadErr)

	require.Equal(t, point{X: 5}, parsed[point](t, record(`{"x":5,"more":1}`)).Payload)
	require.Equal(t, &point{X: 5}, parsed[*point](t, record(`{"x":5}`)).Payload)
	require.Nil(t, parsed[*point](t, record(`null`)).Payload)
	require.Equal(t, map[string]any{"x": 5.0}, parsed[map[string]any](t, record(`{"x":5}`)).Payload)
	require.Equal(t, []any{1.0}, parsed[any](t, record(`[1]`)).Payload)
	require.Nil(t, parsed[any](t, record(`null`)).Payload)
	require.Equal(t, 3, parsed[int](t, record(`3`)).Payload)

	for _, bad := range []string{"", "{", `{"x":"text"}`, `{} {}`, "\xff"} {
		m := parsed[point](t, record(bad))
		require.ErrorContains(t, m.PayloadErr, "deserialize: decoding the value as JSON", bad)
		require.Zero(t, m.Payload)
		require.Equal(t, bad, m.Value.String())
	}
}

func TestPipeline_Tombstones(t *testing.T) {
	t.Parallel()

	tombstone := drakkar.Record{Offset: 1}
	m := parsed[point](t, tombstone)
	require.NoError(t, m.PayloadErr)
	require.True(t, m.Tombstone())
	require.Zero(t, m.Payload)
	require.Nil(t, parsed[[]byte](t, tombstone).Payload)

	empty := parsed[[]byte](t, drakkar.Record{Value: drakkar.Bytes{}})
	require.False(t, empty.Tombstone())
	require.NotNil(t, empty.Payload)

	h := &full{}
	require.NoError(t, drakkar.NewPipeline(h).Parse(t.Context(), tombstone).Err)
	require.Empty(t, h.calls) // Deserialize is not asked
}

// A payload that came with an error is not shown.
func TestPipeline_PayloadOfAnErrorIsDropped(t *testing.T) {
	t.Parallel()

	h := &full{}
	p := drakkar.NewPipeline(h)
	m := p.Parse(t.Context(), record("{}"))
	require.Error(t, m.Err)
	require.Equal(t, "point 0", p.Label(m))
}

func TestPipeline_Arrange(t *testing.T) { //nolint:tparallel // the parts share the handler
	t.Parallel()

	h := &plain[point]{}
	p := drakkar.NewPipeline(h)
	var in drakkar.ArrangeInput
	in.Topic, in.Partition = "t", 3
	for _, o := range []int64{7, 9} {
		rec := record(`{"x":1}`)
		rec.Offset = o
		in.Messages = append(in.Messages, p.Parse(t.Context(), rec))
	}
	in.Pending = func(context.Context) ([]drakkar.Task, error) { return []drakkar.Task{{ID: "old"}}, nil }

	t.Run("WindowsAndIDs", func(t *testing.T) { //nolint:paralleltest // shares the handler
		h.make = func(w drakkar.Window[point]) []drakkar.Task {
			a, b := w.Messages[0], w.Messages[1]
			fanIn := drakkar.Task{SourceOffsets: []int64{9, 7}}
			return []drakkar.Task{a.Task("x", "y"), b.Task(), a.Task(), fanIn}
		}
		for range 2 { // the same again
			tasks, err := p.Arrange(t.Context(), in)
			require.NoError(t, err)
			var ids []string
			for _, task := range tasks {
				ids = append(ids, task.ID)
			}
			require.Equal(t, []string{"3-7-0", "3-9-0", "3-7-1", "3-7-w3"}, ids)
			require.Equal(t, []string{"x", "y"}, tasks[0].Args)
			require.Equal(t, []int64{7}, tasks[2].SourceOffsets)
			require.Equal(t, []int64{7, 9}, tasks[3].SourceOffsets)
		}
		require.Equal(t, "t", h.seen.Topic)
		require.Equal(t, int32(3), h.seen.Partition)
		pending, err := h.seen.Pending(t.Context())
		require.NoError(t, err)
		require.Equal(t, []drakkar.Task{{ID: "old"}}, pending)
	})
	t.Run("TasksThatDoNotFitAreErrorsOfTheHook", func(t *testing.T) { //nolint:paralleltest // shares the handler
		h.make = func(drakkar.Window[point]) []drakkar.Task { return []drakkar.Task{{SourceOffsets: []int64{8}}} }
		tasks, err := p.Arrange(t.Context(), in)
		require.Nil(t, tasks)
		var he *drakkar.HookError
		require.ErrorAs(t, err, &he)
		require.Equal(t, "arrange", he.Hook)
		require.ErrorContains(t, err, "offset 8, which is not a message of this window")
	})
	t.Run("TheHandlersSliceIsItsOwn", func(t *testing.T) { //nolint:paralleltest // shares the handler
		shared := []drakkar.Task{{SourceOffsets: []int64{7}}}
		h.make = func(drakkar.Window[point]) []drakkar.Task { return shared }
		tasks, err := p.Arrange(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, "3-7-w0", tasks[0].ID)
		require.Empty(t, shared[0].ID)
	})
	t.Run("Error", func(t *testing.T) { //nolint:paralleltest // shares the handler
		h.err = errHook
		tasks, err := p.Arrange(t.Context(), in)
		require.Nil(t, tasks)
		require.EqualError(t, err, "arrange: no")
	})
}

func TestPipeline_TypedHooksSeeThePayload(t *testing.T) {
	t.Parallel()

	h := &watcher{}
	p := drakkar.NewPipeline(h)
	m := p.Parse(t.Context(), record(`{"x":4}`))
	group := drakkar.MessageGroup[any]{
		Tasks: []drakkar.Task{{ID: "a"}}, Results: []drakkar.Result{{PID: 1}}, Errors: []drakkar.TaskError{{Message: "m"}},
	}
	_, err := p.OnMessageComplete(t.Context(), drakkar.GroupInput{Message: m, Group: group})
	require.NoError(t, err)
	require.Equal(t, 4, h.group.Message.Payload.X)
	require.Equal(t, group.Tasks, h.group.Tasks)
	require.Equal(t, group.Results, h.group.Results)
	require.Equal(t, group.Errors, h.group.Errors)

	_, err = p.OnWindowComplete(t.Context(), group.Results, []drakkar.Parsed{m})
	require.NoError(t, err)
	require.Equal(t, 4, h.messages[0].Payload.X)
	require.Equal(t, "t/3@7", h.messages[0].String())
	require.Equal(t, group.Results, h.results)
}

// watcher keeps what its hooks were called with.
type watcher struct {
	plain[point]
	group    drakkar.MessageGroup[point]
	results  []drakkar.Result
	messages []drakkar.Message[point]
}

func (w *watcher) OnMessageComplete(_ context.Context, g drakkar.MessageGroup[point]) (drakkar.CollectResult, error) {
	w.group = g
	return drakkar.CollectResult{}, nil
}

func (w *watcher) OnWindowComplete(_ context.Context, rs []drakkar.Result, ms []drakkar.Message[point]) (drakkar.CollectResult, error) {
	w.results, w.messages = rs, ms
	return drakkar.CollectResult{}, nil
}

// otherType has a hook for messages of a type it does not have.
type otherType struct{ plain[point] }

func (*otherType) OnMessageComplete(context.Context, drakkar.MessageGroup[string]) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{}, nil
}

func (*otherType) TaskPriority(drakkar.Task) int { return 0 }

// byValue has a hook that only a pointer to it has.
type byValue struct{}

func (byValue) Arrange(context.Context, drakkar.Window[point]) ([]drakkar.Task, error) {
	return nil, nil
}

func (*byValue) OnError(context.Context, drakkar.Task, drakkar.TaskError) drakkar.ErrorAction {
	return drakkar.Skip()
}

func TestPipeline_Check(t *testing.T) {
	t.Parallel()

	err := drakkar.NewPipeline(&otherType{}).Check()
	require.ErrorContains(t, err, "*drakkar_test.otherType.OnMessageComplete would never be called: it is "+
		"func(context.Context, drakkar.MessageGroup[string]) (drakkar.CollectResult, error), and a hook of this handler is "+
		"func(context.Context, drakkar.MessageGroup[github.com/drakkar-go/drakkar_test.point]) (drakkar.CollectResult, error)")
	require.ErrorContains(t, err, "TaskPriority would never be called")

	err = drakkar.NewPipeline(byValue{}).Check()
	require.ErrorContains(t, err, "drakkar_test.byValue.OnError would never be called: it has a pointer receiver")
	require.NoError(t, drakkar.NewPipeline(&byValue{}).Check())

	require.ErrorContains(t, drakkar.NewPipeline[point](nil).Check(), "the handler is nil")
}

func TestMessage_TaskOutsideOfWindows(t *testing.T) {
	t.Parallel()

	m := drakkar.Message[point]{Record: record("{}")}
	require.Equal(t, "3-7-0", m.Task().ID)
	pending, err := drakkar.Window[point]{}.Pending(t.Context())
	require.NoError(t, err)
	require.Nil(t, pending)
}
