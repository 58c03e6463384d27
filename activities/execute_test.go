package activities_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestExecute(t *testing.T) {
	t.Parallel()

	t.Run("RunsTasksAndTheirHook", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{
			Window: ref(), Batch: batch(drakkar.Task{Args: []string{"one"}}, drakkar.Task{Args: []string{"two"}}), Records: true, RecordLimit: 1 << 20,
		})
		require.NoError(t, err)
		require.Equal(t, workflows.Counts{count(100, 101, 1)}, out.Settled)
		require.Equal(t, 2, out.Succeeded)
		require.Equal(t, "one\n", out.Outputs.Items[0].Value.String())
		require.Equal(t, "t~abcd/3/100/t0/0", out.Outputs.Items[0].ID)
		require.Equal(t, "two\n", out.Records.Items[1].Result.Stdout.String())
	})

	t.Run("ABatchWithoutAPollIsCountedOnce", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		here := batch(drakkar.Task{})
		here.Here = true
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: here})
		require.NoError(t, err)
		require.Equal(t, 1, out.Succeeded)
		require.Zero(t, b.acts.Admission.Unstarted())
		for range 4 { // slots; more would be a batch that was released and never counted
			require.True(t, b.acts.Admission.TryReserve())
			b.acts.Admission.Used()
		}
		require.False(t, b.acts.Admission.TryReserve())
	})

	t.Run("ABatchThatWentAstrayIsHandedBack", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		waiting := b.acts.Admission.Joined(1)
		here := batch(drakkar.Task{}, drakkar.Task{})
		here.Here = true
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: here})
		require.NoError(t, err)
		require.Zero(t, out.Succeeded)
		require.Len(t, out.FollowUps, 1)
		back := out.FollowUps[0]
		require.False(t, back.Here)
		require.Equal(t, 2, back.Tasks.Len)
		require.Equal(t, 1, back.Tasks.Items[0].Attempt, "it was no attempt")
		require.Equal(t, 1, b.acts.Admission.Unstarted())
		waiting.Close()
	})

	t.Run("PayloadsOfSharedTasksHoldAllTheirMessages", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{
			Window: ref(), Batch: batch(drakkar.Task{SourceOffsets: []int64{100, 105, 107}}),
		})
		require.NoError(t, err)
		require.Equal(t, []int64{105, 107}, out.Outputs.Items[0].Also)
	})

	t.Run("LargeOutputGoesToTheStore", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{binary: "/usr/bin/head"})
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{
			Window: ref(), Batch: batch(drakkar.Task{Args: []string{"-c", "200000000", "/dev/zero"}}),
		})
		require.NoError(t, err)
		require.NotEmpty(t, out.Outputs.Ref)
		outputs, err := blobs.Unpack(t.Context(), b.store, out.Outputs)
		require.NoError(t, err)
		require.Len(t, outputs[0].Value, 1<<20, "capped at max_output_bytes")
	})

	for name, spoil := range map[string]func(path string) error{
		"Gone":        os.Remove,
		"Damaged":     func(path string) error { return os.WriteFile(path, []byte("[]"), 0o600) },
		"Undecodable": nil,
	} {
		t.Run("LostBatch"+name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{})
			name, err := b.store.Put(t.Context(), "p", []byte("{}"))
			require.NoError(t, err)
			if spoil != nil {
				require.NoError(t, spoil(filepath.Join(b.store.String(), name)))
			}
			in := workflows.ExecuteInput{Window: ref()}
			in.Batch.Tasks = blobs.List[workflows.TaskSpec]{Len: 1, Ref: name}
			_, err = run[workflows.Outcome](t, b, b.acts.Execute, in)
			require.Equal(t, workflows.ErrTypeLost, errorType(t, err), "repeating it cannot help")
			require.ErrorContains(t, err, name)
		})
	}

	t.Run("ABatchThatCannotBeReadNowIsNotLost", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		name, err := b.store.Put(t.Context(), "p", []byte("[]"))
		require.NoError(t, err)
		require.NoError(t, b.store.Close())
		in := workflows.ExecuteInput{Window: ref()}
		in.Batch.Tasks = blobs.List[workflows.TaskSpec]{Len: 1, Ref: name}
		_, err = run[workflows.Outcome](t, b, b.acts.Execute, in)
		require.NotEqual(t, workflows.ErrTypeLost, errorType(t, err))
	})

	t.Run("HookThatFailsIsLeftToTheWorkflow", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		var calls atomic.Int32
		b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) {
			calls.Add(1)
			return drakkar.CollectResult{}, errors.New("database away")
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{Args: []string{"x"}})})
		require.NoError(t, err)
		require.Equal(t, int32(2), calls.Load(), "once more on the spot")
		require.Empty(t, out.Settled)
		require.Equal(t, 1, out.Calls.List.Len)
		require.Equal(t, workflows.StageTask, out.Calls.List.Items[0].Stage)
		require.Equal(t, "x\n", out.Calls.List.Items[0].Task.Result.Stdout.String())
	})

	t.Run("UnknownSinkIsAnErrorOfTheHook", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Sink: "outt", Data: 1}}}, nil
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{})})
		require.NoError(t, err)
		require.Equal(t, 1, out.Calls.List.Len)
		require.Contains(t, out.Calls.List.Items[0].Error, "outt")
	})
}

func TestExecuteFailures(t *testing.T) {
	t.Parallel()

	sh := func(script string) drakkar.Task {
		return drakkar.Task{Binary: "/bin/sh", Args: []string{"-c", script}}
	}
	for _, tt := range []struct {
		name    string
		task    drakkar.Task
		attempt int
		missed  int  // how often it was missing before
		plain   bool // no on_error hook
		answer  drakkar.ErrorAction
		check   func(t *testing.T, out workflows.Outcome)
		action  string
	}{
		{
			name: "Skip", task: sh("exit 3"), answer: drakkar.Skip(), action: "skip",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Len(t, out.Settled, 1)
				require.Equal(t, 1, out.Failed)
				require.Zero(t, out.Letters.Len)
				require.Equal(t, 3, out.Records.Items[0].Error.Result.ExitCode)
			},
		},
		{
			name: "Retry", task: sh("exit 3"), answer: drakkar.Retry(time.Minute), action: "retry",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Empty(t, out.Settled)
				require.Equal(t, time.Minute, out.FollowUps[0].After)
				require.Equal(t, 2, out.FollowUps[0].Tasks.Items[0].Attempt)
				require.Empty(t, out.FollowUps[0].New)
			},
		},
		{
			name: "RetryTakesThePolicysPause", task: sh("exit 3"), attempt: 2, answer: drakkar.Retry(0), action: "retry",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Equal(t, 2*time.Second, out.FollowUps[0].After)
			},
		},
		{
			name: "RetriesUsedUp", task: sh("echo no >&2; exit 3"), attempt: 3, answer: drakkar.Retry(0), action: "dead_letter",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Len(t, out.Settled, 1)
				require.Equal(t, workflows.ClassTask, out.Letters.Items[0].Class)
				require.Equal(t, 3, out.Letters.Items[0].Attempts)
				require.Equal(t, "no\n", out.Letters.Items[0].Failure.Result.Stderr.String())
				require.Equal(t, []workflows.Range{{First: 100, Last: 100}}, out.LetterOffsets)
			},
		},
		{
			name: "DeadLetterAtOnce", task: sh("exit 3"), answer: drakkar.DeadLetter(), action: "dead_letter",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Len(t, out.Settled, 1)
				require.Equal(t, 1, out.Failed)
				require.Empty(t, out.FollowUps)
				require.Equal(t, workflows.ClassTask, out.Letters.Items[0].Class)
				require.Equal(t, 1, out.Letters.Items[0].Attempts)
			},
		},
		{
			name: "DeadLetterOfAStart", task: drakkar.Task{Binary: "/dev"}, answer: drakkar.DeadLetter(), action: "dead_letter",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Equal(t, workflows.ClassStart, out.Letters.Items[0].Class)
			},
		},
		{
			name: "Replace", task: sh("exit 3"), action: "replace",
			answer: drakkar.Replace(drakkar.Task{Args: []string{"a"}}, drakkar.Task{Args: []string{"b"}}),
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Len(t, out.Settled, 1)
				require.Zero(t, out.Failed)
				next := out.FollowUps[0]
				require.Equal(t, workflows.Counts{count(100, 100, 2)}, next.New)
				require.Equal(t, "0.1", next.Tasks.Items[1].Index)
				require.Equal(t, "3-100-0", next.Tasks.Items[1].ParentID)
				require.Equal(t, 1, next.Tasks.Items[1].Depth)
			},
		},
		{
			name: "ReplaceByNothing", task: sh("exit 3"), action: "replace", answer: drakkar.Replace(),
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Len(t, out.Settled, 1)
				require.Empty(t, out.FollowUps)
				require.Nil(t, out.Records.Items[0].Error)
			},
		},
		{
			name: "NoHookRepeats", task: sh("exit 3"), plain: true, action: "retry",
			check: func(t *testing.T, out workflows.Outcome) { t.Helper(); require.Len(t, out.FollowUps, 1) },
		},
		{
			name: "MissingBinaryIsTriedElsewhere", task: drakkar.Task{Binary: "/no/such/program"}, attempt: 3, missed: 2, action: "postponed",
			answer: drakkar.Skip(), // nobody asks
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Empty(t, out.Settled)
				require.Zero(t, out.Letters.Len)
				again := out.FollowUps[0]
				require.Equal(t, 4*time.Second, again.After)
				require.Equal(t, 3, again.Tasks.Items[0].Attempt, "the attempt was not made")
				require.Equal(t, 3, again.Tasks.Items[0].Postponed)
			},
		},
		{
			name: "BinaryMissingEverywhereIsAFailure", task: drakkar.Task{Binary: "/no/such/program"}, missed: 10, answer: drakkar.Skip(), action: "skip",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Len(t, out.Settled, 1)
				require.Empty(t, out.FollowUps)
			},
		},
		{
			name: "EachAttemptIsTriedElsewhere", task: sh("exit 3"), missed: 10, plain: true, action: "retry",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Zero(t, out.FollowUps[0].Tasks.Items[0].Postponed)
			},
		},
		{
			name: "BinaryMissingForTooLongIsNotRepeated", task: drakkar.Task{Binary: "/no/such/program"}, missed: 10, plain: true, action: "dead_letter",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Equal(t, workflows.ClassStart, out.Letters.Items[0].Class)
			},
		},
		{
			name: "NulInAnArgument", task: drakkar.Task{Args: []string{"a\x00b"}}, plain: true, action: "dead_letter",
			check: func(t *testing.T, out workflows.Outcome) {
				t.Helper()
				require.Equal(t, workflows.ClassStart, out.Letters.Items[0].Class)
			},
		},
		{
			name: "NeverEnds", plain: true, action: "retry",
			task:  drakkar.Task{Binary: "/bin/sleep", Args: []string{"60"}, Timeout: 50 * time.Millisecond},
			check: func(t *testing.T, out workflows.Outcome) { t.Helper(); require.Len(t, out.FollowUps, 1) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{plain: tt.plain})
			b.handler.onError = func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { return tt.answer }
			in := workflows.ExecuteInput{Window: ref(), Batch: batch(tt.task), Records: true, RecordLimit: 1 << 20}
			in.Batch.Tasks.Items[0].Attempt, in.Batch.Tasks.Items[0].Postponed = max(1, tt.attempt), tt.missed
			out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
			require.NoError(t, err)
			tt.check(t, out)
			failed := eventsOf[events.TaskFailed](b)
			require.Len(t, failed, 1)
			require.Equal(t, tt.action, failed[0].Action)
		})
	}

	t.Run("AHostThatIsShortOfSomethingIsWaitedFor", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{plain: true})
		path := filepath.Join(t.TempDir(), "prog")
		writing, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
		require.NoError(t, err)
		defer writing.Close()
		in := workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{Binary: path}, drakkar.Task{Args: []string{"fine"}})}
		in.Batch.Tasks.Items[0].Postponed = 1000
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
		require.NoError(t, err)
		require.Zero(t, out.Letters.Len)
		require.Equal(t, 1, out.Succeeded, "the others of the batch go on")
		require.Equal(t, 30*time.Second, out.FollowUps[0].After)
		require.Equal(t, 1, out.FollowUps[0].Tasks.Items[0].Attempt)
		require.Equal(t, "postponed", eventsOf[events.TaskFailed](b)[0].Action)
	})

	t.Run("OnErrorPanics", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.onError = func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { panic("oh") }
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(sh("exit 3"))})
		require.NoError(t, err)
		require.Equal(t, workflows.StageError, out.Calls.List.Items[0].Stage)
	})

	t.Run("ReplacementOfAForeignMessage", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.onError = func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction {
			return drakkar.Replace(drakkar.Task{SourceOffsets: []int64{999}})
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(sh("exit 3"))})
		require.NoError(t, err)
		require.Contains(t, out.Calls.List.Items[0].Error, "999")
		require.Empty(t, out.FollowUps, "what is refused does not run")
		require.Empty(t, out.Settled)
	})

	t.Run("ManyPausesMakeFewBatches", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		var n atomic.Int64
		b.handler.onError = func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction {
			return drakkar.Retry(time.Duration(n.Add(1)) * time.Second)
		}
		var tasks []drakkar.Task
		for range 30 {
			tasks = append(tasks, sh("exit 3"))
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(tasks...)})
		require.NoError(t, err)
		require.Len(t, out.FollowUps, 8)
		require.Equal(t, 30*time.Second, out.FollowUps[7].After, "nobody waits less than was asked for")
		total := 0
		for _, f := range out.FollowUps {
			total += f.Tasks.Len
		}
		require.Equal(t, 30, total)
	})

	t.Run("ErrorsThatAreNoTextCanTravel", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{}, errors.New("bad value \xff\xfe" + strings.Repeat("x", 1<<20))
		}
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{})})
		require.NoError(t, err)
		require.True(t, utf8.ValidString(out.Calls.List.Items[0].Error))
		require.Less(t, len(out.Calls.List.Items[0].Error), 5000)
	})

	t.Run("ReplacementsEnd", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.onError = func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { return drakkar.Replace(drakkar.Task{}) }
		in := workflows.ExecuteInput{Window: ref(), Batch: batch(sh("exit 3"))}
		in.Batch.Tasks.Items[0].Depth = 3
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
		require.NoError(t, err)
		require.Equal(t, workflows.ClassDepth, out.Letters.Items[0].Class)
	})
}

func TestExecuteResumesBehindItsHeartbeat(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	var calls atomic.Int32
	b.handler.complete = func(r drakkar.Result) (drakkar.CollectResult, error) {
		calls.Add(1)
		return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []byte(r.Stdout)}}}, nil
	}
	in := workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{Args: []string{"one"}}, drakkar.Task{Args: []string{"two"}})}
	b.env.SetHeartbeatDetails(map[string]any{"kept": []any{map[string]any{
		"items": []any{map[string]any{"i": 0, "settled": true, "succeeded": true, "outputs": []any{
			map[string]any{"id": "kept", "to": map[string]any{"type": "kafka", "name": "out"}, "value": "kept"},
		}}}, "len": 1,
	}}})
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.NoError(t, err)
	require.Equal(t, int32(1), calls.Load(), "what was recorded does not run again")
	require.Equal(t, 2, out.Succeeded)
	require.Equal(t, "kept", out.Outputs.Items[0].Value.String())
	require.Equal(t, "two\n", out.Outputs.Items[1].Value.String())
}

// What a heartbeat refers to may be lost: then the tasks, which are there, run
// again.
func TestExecuteRunsAgainWhatItsHeartbeatHasLost(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	in := workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{Args: []string{"one"}}, drakkar.Task{Args: []string{"two"}})}
	b.env.SetHeartbeatDetails(map[string]any{"kept": []any{
		map[string]any{"ref": "p/gone", "len": 1},
		map[string]any{"items": []any{map[string]any{"i": 1, "settled": true, "succeeded": true}}, "len": 1},
	}})
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.NoError(t, err)
	require.Equal(t, 2, out.Succeeded)
	require.Len(t, out.Outputs.Items, 1, "the other list is good")
	require.Equal(t, "one\n", out.Outputs.Items[0].Value.String())
}

// What tasks came to cannot be put into the store now: they do not run again
// for that.
func TestExecuteWaitsForTheStore(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	var calls atomic.Int32
	b.handler.complete = func(r drakkar.Result) (drakkar.CollectResult, error) {
		calls.Add(1)
		return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []byte(r.Stdout)}}}, nil
	}
	in := workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{Args: []string{"one"}}, drakkar.Task{Args: []string{"two"}})}
	in.Window.InlineLimit = 10
	b.full.Store(true)
	_, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.ErrorContains(t, err, "no space left")

	b.full.Store(false)
	b.resume(t)
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.NoError(t, err)
	require.Equal(t, 2, out.Succeeded)
	require.Equal(t, int32(2), calls.Load())
}

// slowStore hands out nothing before it is told to.
type slowStore struct {
	blobs.Store

	release chan struct{}
}

func (s slowStore) Get(ctx context.Context, ref string) ([]byte, error) {
	<-s.release
	return s.Store.Get(ctx, ref)
}

// A run that waits for the store is alive: without heartbeats it would be given
// up, and begun again, for ever.
func TestExecuteIsAliveWhileTheStoreTakesItsTime(t *testing.T) {
	t.Parallel()

	b := setup(t, options{cfg: func(c *activities.Config) { c.HeartbeatTimeout = 30 * time.Millisecond }})
	in := workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{Args: []string{"one"}})}
	var err error
	in.Batch.Tasks, err = blobs.Pack(t.Context(), b.store, "p", 0, in.Batch.Tasks.Items)
	require.NoError(t, err)
	release := make(chan struct{})
	b.acts.Blobs = slowStore{Store: b.store, release: release}
	var beats atomic.Int32
	b.env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) {
		if beats.Add(1) == 1 {
			close(release)
		}
	})
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.NoError(t, err)
	require.Equal(t, 1, out.Succeeded)
}
