package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/workflows"
)

// A handler may give replacements of several tasks the same id. Only those that
// the window does not know are counted as new: one that is repeated is known.
func TestExecute_ReplacementsOfTheSameID(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.handler.onError = func(task drakkar.Task, _ drakkar.TaskError) drakkar.ErrorAction {
		if task.ID == "instead" {
			return drakkar.Retry(time.Minute)
		}
		return drakkar.Replace(drakkar.Task{ID: "instead", Args: []string{"fine"}})
	}
	fails := drakkar.Task{Binary: "/bin/sh", Args: []string{"-c", "exit 1"}}
	known := fails
	known.ID = "instead" // replaced another task before
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(fails, known)})
	require.NoError(t, err)
	require.Len(t, out.FollowUps, 2)
	fresh := 0
	for _, f := range out.FollowUps {
		fresh += f.NewTasks
		if f.After > 0 {
			require.Empty(t, f.New, "the task that is repeated is known")
		}
	}
	require.Equal(t, 1, fresh)
}

// Payloads of replacements have ids of their own, whichever messages the
// replacements name.
func TestExecute_PayloadsOfReplacementsOfSharedTasks(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.handler.onError = func(task drakkar.Task, _ drakkar.TaskError) drakkar.ErrorAction {
		return drakkar.Replace(drakkar.Task{Args: []string{"instead of " + task.ID}, SourceOffsets: []int64{101}})
	}
	fails := drakkar.Task{Binary: "/bin/sh", Args: []string{"-c", "exit 1"}}
	both, one := fails, fails
	both.ID, both.SourceOffsets = "both", []int64{100, 101}
	one.ID, one.SourceOffsets = "one", []int64{101}
	in := workflows.ExecuteInput{Window: ref(), Batch: batch(both, one)}
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.NoError(t, err)

	ids := map[string]bool{}
	for _, f := range out.FollowUps {
		in.Batch = f
		next, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
		require.NoError(t, err)
		for _, o := range next.Outputs.Items {
			require.False(t, ids[o.ID], "two payloads have the id %s", o.ID)
			ids[o.ID] = true
		}
	}
	require.Len(t, ids, 2)
}
