package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/workflows"
)

// setupQuick is an executor that knows its tasks to be quick.
func setupQuick(t *testing.T, o options) *testBundle {
	t.Helper()

	b := setup(t, o)
	_, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{})})
	require.NoError(t, err)
	b.events = nil
	return b
}

// runnable are two messages whose window lets their tasks be run at once.
func runnable() workflows.ArrangeInput {
	return workflows.ArrangeInput{
		Window: ref(), Messages: messages("one", "two"), Retry: retry(3),
		Run: &workflows.RunInput{Records: true, RecordLimit: 1 << 20},
	}
}

func TestArrange_AtOnce(t *testing.T) {
	t.Parallel()

	t.Run("QuickTasks", func(t *testing.T) {
		t.Parallel()

		b := setupQuick(t, options{})
		plan, err := runLocal[workflows.Plan](t, b, b.acts.Arrange, runnable())
		require.NoError(t, err)
		require.Empty(t, plan.Batches)
		require.Equal(t, 2, plan.Tasks)
		require.Equal(t, workflows.Counts{count(100, 101, 1)}, plan.Counts)
		require.Equal(t, plan.Counts, plan.Outcome.Settled)
		require.Equal(t, 2, plan.Outcome.Succeeded)
		require.Equal(t, "one\n", plan.Outcome.Outputs.Items[0].Value.String())
		require.Equal(t, 2, plan.Outcome.Records.Len)
		require.Zero(t, b.acts.Admission.Unstarted())
	})

	t.Run("PrecomputedOnes", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.arrange = func(w drakkar.Window[string]) ([]drakkar.Task, error) {
			task := w.Messages[0].Task()
			task.Precomputed = &drakkar.Precomputed{Stdout: []byte("known")}
			return []drakkar.Task{task}, nil
		}
		plan, err := runLocal[workflows.Plan](t, b, b.acts.Arrange, runnable())
		require.NoError(t, err)
		require.Equal(t, "known", plan.Outcome.Outputs.Items[0].Value.String())
	})

	for name, spoil := range map[string]func(t *testing.T, b *testBundle, in *workflows.ArrangeInput){
		"TheWindowDoesNotAsk": func(_ *testing.T, _ *testBundle, in *workflows.ArrangeInput) { in.Run = nil },
		"TheWorkerStops": func(_ *testing.T, b *testBundle, _ *workflows.ArrangeInput) {
			stop := make(chan struct{})
			close(stop)
			b.env.SetWorkerStopChannel(stop)
		},
		"NoSlotIsFree": func(t *testing.T, b *testBundle, _ *workflows.ArrangeInput) {
			t.Helper()
			_, free := b.acts.Admission.Enter(4)
			require.True(t, free)
		},
		"TasksAreTooMany": func(_ *testing.T, b *testBundle, _ *workflows.ArrangeInput) {
			b.handler.arrange = func(w drakkar.Window[string]) ([]drakkar.Task, error) {
				var tasks []drakkar.Task
				for range 10_000 {
					tasks = append(tasks, w.Messages[0].Task())
				}
				return tasks, nil
			}
		},
		"OneWasSlow": func(t *testing.T, b *testBundle, _ *workflows.ArrangeInput) {
			t.Helper()
			slow := drakkar.Task{Binary: "/bin/sleep", Args: []string{"0.5"}}
			_, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(slow)})
			require.NoError(t, err)
		},
		"AHookWasSlow": func(t *testing.T, b *testBundle, _ *workflows.ArrangeInput) {
			t.Helper()
			b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) {
				<-time.After(500 * time.Millisecond) // so long does what it does take
				return drakkar.CollectResult{}, nil
			}
			_, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{})})
			require.NoError(t, err)
		},
	} {
		t.Run("NotIf"+name, func(t *testing.T) {
			t.Parallel()

			b := setupQuick(t, options{})
			in := runnable()
			spoil(t, b, &in)
			plan, err := runLocal[workflows.Plan](t, b, b.acts.Arrange, in)
			require.NoError(t, err)
			require.Nil(t, plan.Outcome)
			require.NotEmpty(t, plan.Batches)
			require.Empty(t, plan.Counts)
		})
	}

	t.Run("NotBeforeAnythingIsKnown", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		plan, err := runLocal[workflows.Plan](t, b, b.acts.Arrange, runnable())
		require.NoError(t, err)
		require.Len(t, plan.Batches, 1)
	})

	t.Run("NotByARegularActivity", func(t *testing.T) {
		t.Parallel()

		b := setupQuick(t, options{})
		plan, err := run[workflows.Plan](t, b, b.acts.Arrange, runnable())
		require.NoError(t, err)
		require.Len(t, plan.Batches, 1)
	})

	t.Run("WhatTakesLongAgainstExpectationBeginsAgain", func(t *testing.T) {
		t.Parallel()

		b := setupQuick(t, options{})
		b.handler.arrange = func(w drakkar.Window[string]) ([]drakkar.Task, error) {
			long := w.Messages[1].Task("60")
			long.Binary = "/bin/sleep"
			return []drakkar.Task{w.Messages[0].Task("quick"), long}, nil
		}
		began := time.Now()
		plan, err := runLocal[workflows.Plan](t, b, b.acts.Arrange, runnable())
		require.NoError(t, err)
		require.Less(t, time.Since(began), 10*time.Second)
		require.Equal(t, workflows.Counts{count(100, 100, 1)}, plan.Outcome.Settled, "the others are recorded")
		require.Len(t, plan.Outcome.FollowUps, 1)
		again := plan.Outcome.FollowUps[0]
		require.Equal(t, 1, again.Tasks.Items[0].Attempt, "it was no attempt")
		require.Zero(t, again.After)

		plan, err = runLocal[workflows.Plan](t, b, b.acts.Arrange, runnable())
		require.NoError(t, err)
		require.Len(t, plan.Batches, 1, "such tasks are not expected to be quick any more")
	})
}
