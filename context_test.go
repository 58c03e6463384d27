package drakkar_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/drakkar-go/drakkar"
)

func TestLogger(t *testing.T) {
	t.Parallel()

	core, logs := observer.New(zap.InfoLevel)
	scope := drakkar.HookScope{
		Hook: "on_error", Topic: "t", Partition: 3, Offset: 7, TaskID: "3-7-0", Window: "p/t/3/e/0", Log: zap.New(core),
	}
	drakkar.Logger(drakkar.WithHookScope(t.Context(), scope)).Info("said", zap.Int("n", 1))
	scope.TaskID = ""
	drakkar.Logger(drakkar.WithHookScope(t.Context(), scope)).Info("said")

	lines := logs.AllUntimed()
	require.Len(t, lines, 2)
	require.Equal(t, map[string]any{
		"hook": "on_error", "topic": "t", "partition": int64(3), "offset": int64(7), "task_id": "3-7-0", "n": int64(1),
	}, asMap(lines[0]))
	require.NotContains(t, asMap(lines[1]), "task_id")
}

// asMap are the fields of a line.
func asMap(l observer.LoggedEntry) map[string]any {
	m := l.ContextMap()
	for k, v := range m {
		if n, ok := v.(int32); ok {
			m[k] = int64(n)
		}
	}
	return m
}

func TestHookScope(t *testing.T) {
	t.Parallel()

	scope := drakkar.HookScopeFrom(drakkar.WithHookScope(t.Context(), drakkar.HookScope{Hook: "arrange", Offset: 5}))
	require.Equal(t, "arrange", scope.Hook)
	require.Equal(t, int64(5), scope.Offset)
	require.Equal(t, drakkar.HookScope{}, drakkar.HookScopeFrom(t.Context()))
}

func TestAnnotate(t *testing.T) {
	t.Parallel()

	var got []drakkar.Annotation
	scope := drakkar.HookScope{Hook: "arrange", Annotate: func(a drakkar.Annotation) { got = append(got, a) }}
	drakkar.Annotate(drakkar.WithHookScope(t.Context(), scope), "cache", map[string]any{"hit": true})
	require.Len(t, got, 1)
	require.Equal(t, "cache", got[0].Kind)
	require.Equal(t, map[string]any{"hit": true}, got[0].Data)
	require.Equal(t, "arrange", got[0].Scope.Hook)
}

// Outside of hooks, and where nobody listens, words are dropped.
func TestOutsideOfHooks(t *testing.T) {
	t.Parallel()

	require.NotPanics(t, func() {
		drakkar.Logger(t.Context()).Info("dropped")
		drakkar.Annotate(t.Context(), "dropped", nil)
		ctx := drakkar.WithHookScope(t.Context(), drakkar.HookScope{Hook: "arrange"})
		drakkar.Logger(ctx).Info("dropped")
		drakkar.Annotate(ctx, "dropped", nil)
	})
}
