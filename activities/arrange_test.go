package activities_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/executor"
	"github.com/drakkar-go/drakkar/workflows"
)

func errorType(t *testing.T, err error) string {
	t.Helper()

	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	return app.Type()
}

func TestArrange(t *testing.T) {
	t.Parallel()

	t.Run("CutsTasksAndNumbersThem", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.arrange = func(w drakkar.Window[string]) ([]drakkar.Task, error) {
			m := w.Messages
			both := m[0].Task("both")
			both.SourceOffsets = []int64{101, 100}
			return []drakkar.Task{m[0].Task("a"), both, m[1].Task("b")}, nil
		}
		plan, err := run[workflows.Plan](t, b, b.acts.Arrange, workflows.ArrangeInput{Window: ref(), Messages: messages("x", "y")})
		require.NoError(t, err)
		require.Equal(t, 3, plan.Tasks)
		require.Len(t, plan.Batches, 1)
		require.Equal(t, workflows.Counts{count(100, 101, 2)}, plan.Batches[0].Counts)
		specs := plan.Batches[0].Tasks.Items
		require.Equal(t, []string{"0", "1", "0"}, []string{specs[0].Index, specs[1].Index, specs[2].Index})
		require.Equal(t, []int64{100, 101}, specs[1].SourceOffsets)
		require.Len(t, eventsOf[events.Arranged](b), 1)
	})

	// A worker holds what a batch printed until its last task has ended.
	t.Run("LargeOutputsMakeSmallBatches", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{binary: "/usr/bin/head"})
		megabyte := drakkar.Task{Args: []string{"-c", "1048576", "/dev/zero"}}
		_, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{
			Window: ref(), Batch: batch(megabyte, megabyte, megabyte, megabyte),
		})
		require.NoError(t, err)
		b.handler.arrange = func(w drakkar.Window[string]) (tasks []drakkar.Task, err error) {
			for range 200 {
				tasks = append(tasks, w.Messages[0].Task())
			}
			return tasks, nil
		}
		plan, err := run[workflows.Plan](t, b, b.acts.Arrange, workflows.ArrangeInput{Window: ref(), Messages: messages("x")})
		require.NoError(t, err)
		for _, part := range plan.Batches {
			require.LessOrEqual(t, part.Tasks.Len, 32)
		}
	})

	for name, tt := range map[string]struct {
		regular bool
		spoil   func(t *testing.T, b *testBundle)
		here    bool
	}{
		"Idle":                {here: true},
		"InARegularActivity":  {regular: true},
		"WhileOthersWaitHere": {spoil: func(_ *testing.T, b *testBundle) { b.acts.Admission.Joined(1) }},
		"WhileAllSlotsAreTaken": {spoil: func(t *testing.T, b *testBundle) {
			t.Helper()
			ctx, stop := context.WithCancel(t.Context())
			begun := make(chan struct{})
			for range b.acts.Pool.Stats().Slots {
				task := drakkar.Task{Binary: "/bin/sleep", Args: []string{"600"}, SourceOffsets: []int64{100}}
				go func() {
					_, _ = b.acts.Pool.Run(ctx, executor.Job{Task: task, Attempt: 1, Started: func() { begun <- struct{}{} }})
					begun <- struct{}{}
				}()
				<-begun
			}
			t.Cleanup(func() {
				stop()
				for range b.acts.Pool.Stats().Slots {
					<-begun
				}
			})
		}},
		"WhileAnotherIsExpected": {spoil: func(t *testing.T, b *testBundle) {
			t.Helper()
			require.True(t, b.acts.Admission.Expect())
		}},
		"WhileTheExecutorStops": {spoil: func(t *testing.T, b *testBundle) {
			t.Helper()
			require.NoError(t, b.acts.Pool.Stop(t.Context()))
		}},
	} {
		t.Run("TasksCanBeginHere"+name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{})
			if tt.spoil != nil {
				tt.spoil(t, b)
			}
			call := runLocal[workflows.Plan]
			if tt.regular {
				call = run[workflows.Plan]
			}
			plan, err := call(t, b, b.acts.Arrange, workflows.ArrangeInput{Window: ref(), Messages: messages("x")})
			require.NoError(t, err)
			require.Equal(t, tt.here, plan.Batches[0].Here)
		})
	}

	t.Run("PutsLargeTasksIntoTheStore", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.log[100] = make(drakkar.Bytes, 5<<20)
		b.handler.arrange = func(w drakkar.Window[string]) ([]drakkar.Task, error) {
			task := w.Messages[0].Task()
			task.Stdin = w.Messages[0].Value
			return []drakkar.Task{task}, nil
		}
		plan, err := run[workflows.Plan](t, b, b.acts.Arrange, workflows.ArrangeInput{
			Window: ref(), Messages: []workflows.Message{{Offset: 100, Size: 5 << 20}},
		})
		require.NoError(t, err)
		require.NotEmpty(t, plan.Batches[0].Tasks.Ref)
		require.Empty(t, plan.Batches[0].Tasks.Items)
		specs, err := blobs.Unpack(t.Context(), b.store, plan.Batches[0].Tasks)
		require.NoError(t, err)
		require.Len(t, specs[0].Stdin, 5<<20)
	})

	t.Run("AMessageThatIsGoneIsALetter", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		plan, err := run[workflows.Plan](t, b, b.acts.Arrange, workflows.ArrangeInput{
			Window: ref(), Messages: append(messages("x"), workflows.Message{Offset: 101, Size: 9}),
		})
		require.NoError(t, err)
		require.Equal(t, 1, plan.Tasks)
		require.Equal(t, []workflows.Range{{First: 101, Last: 101}}, plan.LetterOffsets)
		require.Equal(t, workflows.ClassUnreadable, plan.Letters.Items[0].Class)
	})

	t.Run("AMessageWhosePlaceAnotherHasIsGone", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.log[101] = drakkar.Bytes("of the topic that was made again")
		plan, err := run[workflows.Plan](t, b, b.acts.Arrange, workflows.ArrangeInput{
			Window: ref(), Messages: append(messages("x"), workflows.Message{Offset: 101, Size: 9, Timestamp: 1_700_000_000_000}),
		})
		require.NoError(t, err)
		require.Equal(t, 1, plan.Tasks)
		require.Equal(t, workflows.ClassUnreadable, plan.Letters.Items[0].Class)
	})

	for _, tt := range []struct {
		name    string
		arrange func(drakkar.Window[string]) ([]drakkar.Task, error)
		want    string
	}{
		{"Error", func(drakkar.Window[string]) ([]drakkar.Task, error) { return nil, errors.New("no way") }, "no way"},
		{"Panic", func(drakkar.Window[string]) ([]drakkar.Task, error) { panic("boom") }, "panicked: boom"},
		{"ForeignOffset", func(w drakkar.Window[string]) ([]drakkar.Task, error) {
			task := w.Messages[0].Task()
			task.SourceOffsets = []int64{7}
			return []drakkar.Task{task}, nil
		}, "offset 7"},
		{"NoOffset", func(drakkar.Window[string]) ([]drakkar.Task, error) {
			return []drakkar.Task{{ID: "lonely"}}, nil
		}, "names no message"},
	} {
		t.Run("HookFails"+tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{})
			b.handler.arrange = tt.arrange
			_, err := runLocal[workflows.Plan](t, b, b.acts.Arrange, workflows.ArrangeInput{Window: ref(), Messages: messages("x")})
			require.Equal(t, workflows.ErrTypeHook, errorType(t, err))
			require.ErrorContains(t, err, tt.want)
			require.Error(t, eventsOf[events.HookRan](b)[0].Err)
		})
	}
}

func TestArrangeParse(t *testing.T) {
	t.Parallel()

	in := workflows.ArrangeInput{Window: ref(), Messages: messages(`1`, `{broken`, `3`)}
	in.Messages = append(in.Messages, workflows.Message{Offset: 103}) // a tombstone

	for _, tt := range []struct {
		policy  string
		tasks   int
		letters []int64
		halts   bool
	}{
		{policy: "dlq", tasks: 3, letters: []int64{101}},
		{policy: "pass", tasks: 4},
		{policy: "halt", halts: true},
	} {
		t.Run(tt.policy, func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{json: true, cfg: func(c *activities.Config) { c.OnParseError = tt.policy }})
			plan, err := run[workflows.Plan](t, b, b.acts.Arrange, in)
			require.Len(t, eventsOf[events.ParseFailed](b), 1)
			if tt.halts {
				require.Equal(t, workflows.ErrTypeHalt, errorType(t, err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.tasks, plan.Tasks)
			require.Equal(t, workflows.Ranges(tt.letters), plan.LetterOffsets)
		})
	}
}
