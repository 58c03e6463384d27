package drakkar

import (
	"context"

	"go.uber.org/zap"
)

// HookScope is what a running hook is about. Drakkar puts it into the context
// of every hook; Logger and Annotate read it.
type HookScope struct {
	// Hook is the name of the hook: arrange, on_task_complete, ...
	Hook      string
	Topic     string
	Partition int32
	// Offset is the message's, the task's lowest, or the window's first.
	Offset int64
	// TaskID is empty outside of task hooks.
	TaskID string
	// Window is the id of the window's workflow.
	Window string

	// Log and Annotate are where the hook's words go; nil drops them.
	Log      *zap.Logger
	Annotate func(Annotation)
}

// Annotation is a note that a hook attaches to what it is about, to say why it
// decided something.
type Annotation struct {
	Scope HookScope
	Kind  string
	Data  map[string]any
}

type scopeKey struct{}

// WithHookScope returns a context for a hook. Drakkar calls it; tests of
// handlers may.
func WithHookScope(ctx context.Context, s HookScope) context.Context {
	return context.WithValue(ctx, scopeKey{}, s)
}

// HookScopeFrom returns what the running hook is about, or the zero value
// outside of hooks.
func HookScopeFrom(ctx context.Context) HookScope {
	s, _ := ctx.Value(scopeKey{}).(HookScope)
	return s
}

// Logger returns a logger which names the hook, and the message, task or
// window it is about, on every line. Outside of hooks it logs nothing.
func Logger(ctx context.Context) *zap.Logger {
	s := HookScopeFrom(ctx)
	if s.Log == nil {
		return zap.NewNop()
	}
	fields := []zap.Field{
		zap.String("hook", s.Hook),
		zap.String("topic", s.Topic),
		zap.Int32("partition", s.Partition),
		zap.Int64("offset", s.Offset),
	}
	if s.TaskID != "" {
		fields = append(fields, zap.String("task_id", s.TaskID))
	}
	return s.Log.With(fields...)
}

// Annotate records a note about the message, task or window the running hook
// is about. It is shown beside it and never changes what happens to it. A note
// of more than 16 KiB is dropped and counted. Outside of hooks it does
// nothing.
func Annotate(ctx context.Context, kind string, data map[string]any) {
	s := HookScopeFrom(ctx)
	if s.Annotate != nil {
		s.Annotate(Annotation{Scope: s, Kind: kind, Data: data})
	}
}
