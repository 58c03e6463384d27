package drakkartest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/drakkartest"
)

// window is a history of a window that package workflows keeps.
const window = "../workflows/testdata/plain.json"

func TestReplay(t *testing.T) {
	t.Parallel()

	t.Run("WindowsAndRebalances", func(t *testing.T) {
		t.Parallel()

		require.Empty(t, failing(t, func(tb testing.TB) { drakkartest.Replay(tb, "testdata/*.json") }))
		require.Empty(t, failing(t, func(tb testing.TB) { drakkartest.Replay(tb, window) }))
	})
	t.Run("WorkflowsOfTheAuthor", func(t *testing.T) {
		t.Parallel()

		author := func(f func(workflow.Context) error) func(worker.WorkflowRegistry) {
			return func(r worker.WorkflowRegistry) {
				r.RegisterWorkflowWithOptions(f, workflow.RegisterOptions{Name: "Author"})
			}
		}
		replay := func(register ...func(worker.WorkflowRegistry)) []string {
			return failing(t, func(tb testing.TB) { drakkartest.Replay(tb, "testdata/author/*.json", register...) })
		}
		require.Empty(t, replay(author(func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Second) })))

		said := replay(author(func(workflow.Context) error { return nil }))
		require.Len(t, said, 1)
		require.Contains(t, said[0], filepath.Join("testdata", "author", "author.json"))
		require.Contains(t, said[0], "nondeterministic")

		said = replay()
		require.Len(t, said, 1)
		require.Contains(t, said[0], "Author")
	})
	t.Run("AnotherCourse", func(t *testing.T) {
		t.Parallel()

		// The window's first batch goes by another name.
		data, err := os.ReadFile(window)
		require.NoError(t, err)
		changed := strings.Replace(string(data), `"name": "Execute"`, `"name": "Executed"`, 1)
		require.NotEqual(t, string(data), changed)
		file := filepath.Join(t.TempDir(), "changed.json")
		require.NoError(t, os.WriteFile(file, []byte(changed), 0o600))

		said := failing(t, func(tb testing.TB) { drakkartest.Replay(tb, file) })
		require.Len(t, said, 1)
		require.Contains(t, said[0], file)
		require.Contains(t, said[0], "nondeterministic")
	})
	t.Run("NoFiles", func(t *testing.T) {
		t.Parallel()

		said := failing(t, func(tb testing.TB) { drakkartest.Replay(tb, "testdata/none/*.json") })
		require.Equal(t, []string{"no history matches testdata/none/*.json"}, said)
	})
	t.Run("BadPattern", func(t *testing.T) {
		t.Parallel()

		said := failing(t, func(tb testing.TB) { drakkartest.Replay(tb, "[") })
		require.Len(t, said, 1)
	})
	t.Run("NotAHistory", func(t *testing.T) {
		t.Parallel()

		file := filepath.Join(t.TempDir(), "broken.json")
		require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
		said := failing(t, func(tb testing.TB) { drakkartest.Replay(tb, file) })
		require.Len(t, said, 1)
		require.Contains(t, said[0], "broken.json")
	})
}
