package drakkar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
)

// Pipeline is a handler without its type parameter: what app.New takes and
// what the executor calls. Its methods are for Drakkar itself and for tests;
// each calls one hook, and turns a panic into an error.
type Pipeline struct {
	handler any
	hooks   Hooks
	typed   typedHooks
	misfits []error
}

// Hooks tells which optional hooks a handler has.
type Hooks struct {
	TaskComplete    bool `json:"task_complete,omitempty"`
	MessageComplete bool `json:"message_complete,omitempty"`
	WindowComplete  bool `json:"window_complete,omitempty"`
	Error           bool `json:"error,omitempty"`
	DeliveryError   bool `json:"delivery_error,omitempty"`
	Execute         bool `json:"execute,omitempty"`
	Assign          bool `json:"assign,omitempty"`
	Revoke          bool `json:"revoke,omitempty"`
}

// typedHooks are the hooks that see In, closed over it.
type typedHooks struct {
	parse           func(context.Context, Record) (any, error)
	label           func(Parsed) string
	arrange         func(context.Context, ArrangeInput) ([]Task, error)
	messageComplete func(context.Context, GroupInput) (CollectResult, error)
	windowComplete  func(context.Context, []Result, []Parsed) (CollectResult, error)
}

// Parsed is a record with its decoded payload, or with the error of decoding
// it.
type Parsed struct {
	Record Record
	Err    error

	payload any
}

// ArrangeInput is a window before it gets its type.
type ArrangeInput struct {
	Topic     string
	Partition int32
	Messages  []Parsed
	Pending   func(context.Context) ([]Task, error)
}

// GroupInput is a message group before it gets its type.
type GroupInput struct {
	Message Parsed
	Group   MessageGroup[any] // Message is left empty
}

// HookError is an error or a panic of a hook.
type HookError struct {
	Hook  string
	Err   error
	Panic bool
	// Stack is of the panic, empty otherwise.
	Stack string
}

// Error implements error.
func (e *HookError) Error() string {
	if e.Panic {
		return e.Hook + " panicked: " + e.Err.Error()
	}
	return e.Hook + ": " + e.Err.Error()
}

// Unwrap returns the hook's own error.
func (e *HookError) Unwrap() error { return e.Err }

// NewPipeline returns the pipeline of a handler. The type of its messages
// follows from its Arrange:
//
//	p := drakkar.NewPipeline(&MyHandler{})
func NewPipeline[In any](h Handler[In]) *Pipeline {
	p := &Pipeline{handler: h, typed: typedHooks{
		parse:   parser[In](h),
		arrange: arranger(h),
		label:   func(m Parsed) string { return fmt.Sprintf("%d:%d", m.Record.Partition, m.Record.Offset) },
	}}
	if l, ok := h.(Labeler[In]); ok {
		p.typed.label = func(m Parsed) string { return l.MessageLabel(message[In](m)) }
	}
	if c, ok := h.(MessageCompleter[In]); ok {
		p.hooks.MessageComplete = true
		p.typed.messageComplete = func(ctx context.Context, in GroupInput) (CollectResult, error) {
			return c.OnMessageComplete(ctx, MessageGroup[In]{
				Message: message[In](in.Message), Tasks: in.Group.Tasks, Results: in.Group.Results,
				Errors: in.Group.Errors, StartedAt: in.Group.StartedAt, FinishedAt: in.Group.FinishedAt,
			})
		}
	}
	if c, ok := h.(WindowCompleter[In]); ok {
		p.hooks.WindowComplete = true
		p.typed.windowComplete = func(ctx context.Context, rs []Result, ms []Parsed) (CollectResult, error) {
			return c.OnWindowComplete(ctx, rs, messages[In](ms))
		}
	}
	_, p.hooks.TaskComplete = h.(TaskCompleter)
	_, p.hooks.Error = h.(ErrorHandler)
	_, p.hooks.DeliveryError = h.(DeliveryErrorHandler)
	_, p.hooks.Execute = h.(Executor)
	_, p.hooks.Assign = h.(AssignHandler)
	_, p.hooks.Revoke = h.(RevokeHandler)
	p.misfits = misfits[In](h)
	return p
}

func message[In any](m Parsed) Message[In] {
	payload, _ := m.payload.(In)
	return Message[In]{Record: m.Record, Payload: payload, PayloadErr: m.Err, tasks: new(int)}
}

func messages[In any](ms []Parsed) []Message[In] {
	out := make([]Message[In], len(ms))
	for i, m := range ms {
		out[i] = message[In](m)
	}
	return out
}

func arranger[In any](h Handler[In]) func(context.Context, ArrangeInput) ([]Task, error) {
	return func(ctx context.Context, in ArrangeInput) ([]Task, error) {
		return h.Arrange(ctx, Window[In]{
			Topic: in.Topic, Partition: in.Partition,
			Messages: messages[In](in.Messages), pending: in.Pending,
		})
	}
}

// parser returns the handler's own Deserialize, or the default: the value as it
// is for byte strings and strings, JSON for everything else.
func parser[In any](h any) func(context.Context, Record) (any, error) {
	if d, ok := h.(Deserializer[In]); ok {
		return func(ctx context.Context, r Record) (any, error) { return d.Deserialize(ctx, r) }
	}
	switch t := reflect.TypeFor[In](); {
	case t.Kind() == reflect.String:
		return func(_ context.Context, r Record) (any, error) {
			var in In
			reflect.ValueOf(&in).Elem().SetString(string(r.Value))
			return in, nil
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && t != reflect.TypeFor[json.RawMessage]():
		return func(_ context.Context, r Record) (any, error) {
			var in In
			reflect.ValueOf(&in).Elem().SetBytes(r.Value)
			return in, nil
		}
	}
	return func(_ context.Context, r Record) (any, error) {
		var in In
		if err := json.Unmarshal(r.Value, &in); err != nil {
			return nil, fmt.Errorf("decoding the value as JSON: %w", err)
		}
		return in, nil
	}
}

// Handler returns the handler itself, for interfaces of other packages which
// it may have.
func (p *Pipeline) Handler() any { return p.handler }

// Hooks tells which optional hooks the handler has.
func (p *Pipeline) Hooks() Hooks { return p.hooks }

// Check reports methods which bear the name of a hook but not its signature, so
// that they would never be called: a hook for messages of another type, or one
// with a pointer receiver on a handler that was passed by value.
func (p *Pipeline) Check() error { return errors.Join(p.misfits...) }

// Parse decodes a record. A tombstone decodes to the zero payload.
func (p *Pipeline) Parse(ctx context.Context, r Record) Parsed {
	out := Parsed{Record: r}
	if r.Value == nil {
		return out
	}
	out.Err = guard("deserialize", func() error {
		payload, err := p.typed.parse(ctx, r)
		if err != nil {
			return err
		}
		out.payload = payload
		return nil
	})
	return out
}

// Label names a message for people. A panic yields the default.
func (p *Pipeline) Label(m Parsed) string {
	label := fmt.Sprintf("%d:%d", m.Record.Partition, m.Record.Offset)
	_ = guard("message_label", func() error { label = p.typed.label(m); return nil })
	return label
}

// Arrange calls the hook and checks its tasks: ids are unique, filled in where
// they are missing, and every task names messages of this window.
func (p *Pipeline) Arrange(ctx context.Context, in ArrangeInput) ([]Task, error) {
	inWindow := make(map[int64]bool, len(in.Messages))
	for _, m := range in.Messages {
		inWindow[m.Record.Offset] = true
	}
	var tasks []Task
	err := guard("arrange", func() error {
		arranged, err := p.typed.arrange(ctx, in)
		if err != nil {
			return err
		}
		tasks = slices.Clone(arranged) // the handler may keep its slice
		return CheckTasks(tasks, in.Partition, func(o int64) bool { return inWindow[o] })
	})
	if err != nil {
		return nil, err
	}
	return tasks, nil
}

// OnTaskComplete calls the hook, if the handler has it.
func (p *Pipeline) OnTaskComplete(ctx context.Context, r Result) (out CollectResult, err error) {
	h, ok := p.handler.(TaskCompleter)
	if !ok {
		return CollectResult{}, nil
	}
	err = guard("on_task_complete", func() (err error) { out, err = h.OnTaskComplete(ctx, r); return err })
	return out, err
}

// OnMessageComplete calls the hook, if the handler has it.
func (p *Pipeline) OnMessageComplete(ctx context.Context, in GroupInput) (out CollectResult, err error) {
	if p.typed.messageComplete == nil {
		return CollectResult{}, nil
	}
	err = guard("on_message_complete", func() (err error) { out, err = p.typed.messageComplete(ctx, in); return err })
	return out, err
}

// OnWindowComplete calls the hook, if the handler has it.
func (p *Pipeline) OnWindowComplete(ctx context.Context, rs []Result, ms []Parsed) (out CollectResult, err error) {
	if p.typed.windowComplete == nil {
		return CollectResult{}, nil
	}
	err = guard("on_window_complete", func() (err error) { out, err = p.typed.windowComplete(ctx, rs, ms); return err })
	return out, err
}

// OnError calls the hook. Ok is false when the handler has none.
func (p *Pipeline) OnError(ctx context.Context, t Task, e TaskError) (action ErrorAction, ok bool, err error) {
	h, ok := p.handler.(ErrorHandler)
	if !ok {
		return ErrorAction{}, false, nil
	}
	err = guard("on_error", func() error { action = h.OnError(ctx, t, e); return nil })
	return action, true, err
}

// OnDeliveryError calls the hook; without one the answer is DLQ.
func (p *Pipeline) OnDeliveryError(ctx context.Context, e DeliveryError) (action DeliveryAction, err error) {
	h, ok := p.handler.(DeliveryErrorHandler)
	if !ok {
		return DLQ(), nil
	}
	err = guard("on_delivery_error", func() error { action = h.OnDeliveryError(ctx, e); return nil })
	return action, err
}

// Execute calls the hook; call it only if Hooks().Execute.
func (p *Pipeline) Execute(ctx context.Context, t Task) (r Result, err error) {
	h, ok := p.handler.(Executor)
	if !ok {
		return Result{}, errors.New("the handler has no Execute")
	}
	err = guard("execute", func() (err error) { r, err = h.Execute(ctx, t); return err })
	return r, err
}

// OnAssign calls the hook, if the handler has it.
func (p *Pipeline) OnAssign(ctx context.Context, topic string, partitions []int32) error {
	h, ok := p.handler.(AssignHandler)
	if !ok {
		return nil
	}
	return guard("on_assign", func() error { return h.OnAssign(ctx, topic, partitions) })
}

// OnRevoke calls the hook, if the handler has it.
func (p *Pipeline) OnRevoke(ctx context.Context, topic string, partitions []int32) error {
	h, ok := p.handler.(RevokeHandler)
	if !ok {
		return nil
	}
	return guard("on_revoke", func() error { return h.OnRevoke(ctx, topic, partitions) })
}

// Priority is the task's own, or what the hook says, or 0. The error is a
// panic of the hook.
func (p *Pipeline) Priority(t Task) (priority float64, err error) {
	if t.Priority != nil {
		return *t.Priority, nil
	}
	h, ok := p.handler.(Prioritizer)
	if !ok {
		return 0, nil
	}
	err = guard("task_priority", func() error { priority = h.TaskPriority(t); return nil })
	if err != nil {
		return 0, err
	}
	return priority, nil
}

// guard runs a hook; its panics become errors, so one bad message cannot end
// the worker.
func guard(hook string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			cause, ok := r.(error)
			if !ok {
				cause = fmt.Errorf("%v", r)
			}
			err = &HookError{Hook: hook, Err: cause, Panic: true, Stack: string(debug.Stack())}
		}
	}()
	if err := f(); err != nil {
		return &HookError{Hook: hook, Err: err}
	}
	return nil
}
