package activities_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// refused is the size from which Temporal refuses an input or a result.
const refused = 2 << 20

func size(t *testing.T, v any) int {
	t.Helper()

	data, err := json.Marshal(v)
	require.NoError(t, err)
	return len(data)
}

// A plan stays small however many messages each of its tasks serves.
func TestLimits_FanIn(t *testing.T) {
	t.Parallel()

	for _, gap := range []int64{1, 2} {
		t.Run(fmt.Sprintf("EverySecond=%v", gap == 2), func(t *testing.T) {
			t.Parallel()

			const tasks, msgs = 2000, 500
			b := setup(t, options{})
			b.handler.arrange = func(w drakkar.Window[string]) ([]drakkar.Task, error) {
				all := make([]int64, len(w.Messages))
				for i, m := range w.Messages {
					all[i] = m.Record.Offset
				}
				out := make([]drakkar.Task, tasks)
				for i := range out {
					out[i] = drakkar.Task{SourceOffsets: all, ID: fmt.Sprint(i)}
				}
				return out, nil
			}
			in := workflows.ArrangeInput{Window: ref()}
			for i := range int64(msgs) {
				in.Messages = append(in.Messages, workflows.Message{Offset: 1_000_000_000 + i*gap, Value: drakkar.Bytes("x")})
			}
			plan, err := run[workflows.Plan](t, b, b.acts.Arrange, in)
			require.NoError(t, err)
			require.Equal(t, tasks, plan.Tasks)
			require.Less(t, size(t, plan), refused/2)
			total := 0
			for _, one := range plan.Batches {
				total += one.Tasks.Len
			}
			require.Equal(t, tasks, total)
		})
	}
}

// However many hooks of a batch fail, they are one list, and it is stored.
func TestLimits_HooksOfABatch(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) {
		return drakkar.CollectResult{}, errors.New(strings.Repeat("x", 10<<10))
	}
	tasks := make([]drakkar.Task, 1000)
	for i := range tasks {
		tasks[i].Precomputed = &drakkar.Precomputed{Stdout: drakkar.Bytes("y")}
	}
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(tasks...)})
	require.NoError(t, err)
	require.Less(t, size(t, out), 64<<10)
	require.Equal(t, 1000, out.Calls.List.Len)
	require.NotEmpty(t, out.Calls.List.Ref)
	require.Equal(t, workflows.Counts{count(100, 1099, 1)}, out.Calls.Tasks)

	b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) { return drakkar.CollectResult{}, nil }
	out, err = run[workflows.Outcome](t, b, b.acts.Collect, workflows.CollectInput{
		Window: ref(), Calls: out.Calls.List, Attempts: 1, Retry: retry(3),
	})
	require.NoError(t, err)
	require.Equal(t, workflows.Counts{count(100, 1099, 1)}, out.Settled)
}

// Replacements make no more batches than the window has room for.
func TestLimits_Replacements(t *testing.T) {
	t.Parallel()

	for most, least := range map[int]int{0: 1, 1: 1, 20: 5} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{})
			b.handler.onError = func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction {
				return drakkar.Replace(make([]drakkar.Task, 200)...)
			}
			in := workflows.ExecuteInput{Window: ref(), MaxFollowUps: most, Batch: batch(drakkar.Task{Precomputed: &drakkar.Precomputed{ExitCode: 1}})}
			out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
			require.NoError(t, err)
			require.LessOrEqual(t, len(out.FollowUps), max(1, most))
			require.GreaterOrEqual(t, len(out.FollowUps), least)
		})
	}
}

// A patient batch comes back when nothing is left to repeat or to replace, with
// all that came of it.
func TestExecute_Patient(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.handler.onError = func(task drakkar.Task, _ drakkar.TaskError) drakkar.ErrorAction {
		if task.ID == "replaced" {
			return drakkar.Replace(drakkar.Task{Args: []string{"instead"}}, drakkar.Task{Args: []string{"and"}})
		}
		return drakkar.Retry(time.Hour)
	}
	flag := t.TempDir() + "/flag"
	in := workflows.ExecuteInput{Window: ref(), Patient: true, Records: true, RecordLimit: 1 << 20, Batch: batch(
		drakkar.Task{Args: []string{"fine"}},
		drakkar.Task{Binary: "/bin/sh", Args: []string{"-c", "test -e " + flag + " || { touch " + flag + "; exit 1; }; echo again"}},
		drakkar.Task{ID: "replaced", Binary: "/bin/sh", Args: []string{"-c", "exit 1"}},
	)}
	_, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
	require.Equal(t, time.Hour, nextRetry(t, err))

	b.resume(t)
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.NoError(t, err)
	require.Empty(t, out.FollowUps)
	require.Equal(t, 4, out.Succeeded)
	require.Equal(t, workflows.Counts{count(102, 102, 2)}, out.New, "the window does not know them")
	require.Equal(t, workflows.Counts{count(100, 101, 1), count(102, 102, 3)}, out.Settled)
	require.Equal(t, 2, out.NewTasks)
	require.Equal(t, 5, out.Records.Len)
	var texts []string
	for _, o := range out.Outputs.Items {
		texts = append(texts, strings.TrimSpace(o.Value.String()))
	}
	require.ElementsMatch(t, []string{"fine", "again", "instead", "and"}, texts)
}

// A job with scattered positions and messages is small.
func TestLimits_Jobs(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	all := payloads(8000)
	b.sink.Refuse(func(p sinks.Payload) error {
		if p.Source.Offset%2 == 0 {
			return errors.New("even")
		}
		return nil
	})
	list, err := blobs.Pack(t.Context(), b.store, "p", 0, all)
	require.NoError(t, err)
	in := workflows.DeliverInput{Window: ref(), Outputs: []blobs.List[workflows.Output]{list}}
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Less(t, size(t, out), 64<<10)
	require.Equal(t, 4000, out.Delivered)
	require.NotEmpty(t, out.Pending[0].Items.Ref)

	in.Job = &out.Pending[0]
	out, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, 4000, out.DeadLettered)
}

// A letter of many messages is one for each of them.
// Positions that are too many to travel are in the store, those of every sink
// that fails; when the store is away they travel all the same, since what has
// arrived must not be delivered again.
func TestDeliver_ManyPositions(t *testing.T) {
	t.Parallel()

	for name, full := range map[string]bool{"Stored": false, "StoreIsAway": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			const n = 8_000
			policy := config.Delivery{
				OnOpen: "hold", MaxAttempts: 3, InitialInterval: time.Second, MaxInterval: time.Minute,
				Timeout: time.Minute, BatchSize: n,
			}
			b := setup(t, options{policy: policy, other: policy, threshold: 2 * n})
			refuse := func(p sinks.Payload) error {
				if p.Source.Offset%4 < 2 {
					return errors.New("too ugly")
				}
				return nil
			}
			b.sink.Refuse(refuse)
			b.other.Refuse(refuse)
			all := payloads(n)
			for i := range all {
				if i%2 == 1 {
					all[i].To.Name = "other"
				}
			}
			b.full.Store(full)
			out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, deliverInput(all))
			require.NoError(t, err)
			require.Equal(t, n/2, out.Delivered)
			require.Len(t, out.Pending, 2)
			for _, job := range out.Pending {
				require.Equal(t, full, job.Items.Ref == "")
				items, err := blobs.Unpack(t.Context(), b.store, job.Items)
				require.NoError(t, err)
				require.Len(t, items, n/4, job.To)
			}
		})
	}
}

func TestDeliver_LetterOfManyMessages(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.letters.err = errors.New("away")
	in := workflows.DeliverInput{Window: ref(), Sources: messages("x", "y", "z"), Letters: []blobs.List[workflows.Letter]{list(
		workflows.Letter{Kind: workflows.LetterMessage, Class: workflows.ClassRerun, Each: []workflows.Range{{First: 100, Last: 102}}},
	)}}
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, []workflows.Range{{First: 100, Last: 102}}, out.Pending[0].Offsets)

	b.letters.err, in.Job = nil, &out.Pending[0]
	out, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, 3, out.DeadLettered)
	require.Equal(t, "z", b.letters.letters[2].Source.Value.String())
}

// on_delivery_error that fails is asked again, with pauses, before the dead
// letter queue gets what nobody could be asked about. The sink is not tried
// again meanwhile.
func TestDeliver_OnDeliveryErrorPanics(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	var asked atomic.Int32
	b.handler.delivery = func(drakkar.DeliveryError) drakkar.DeliveryAction { asked.Add(1); panic("oh") }
	b.sink.FailNext(1, sinks.Permanent, errors.New("no"))
	in := deliverInput(payloads(1))
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Len(t, out.Pending, 1)
	job := out.Pending[0]
	require.True(t, job.Ask)
	require.False(t, job.DLQ)
	require.Equal(t, time.Second, job.After)
	require.Equal(t, 1, job.Attempts)

	in.Job = &job
	_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
	require.Equal(t, 2*time.Second, nextRetry(t, err))

	b.resume(t)
	out, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.True(t, out.Pending[0].DLQ)
	require.Equal(t, workflows.ClassPermanent, out.Pending[0].Class)
	require.Equal(t, int32(3), asked.Load())
	require.Equal(t, 1, b.sink.Calls())
}

// What a circuit breaker held back was no attempt, whatever ran how often.
func TestDeliver_BreakerIsNoAttempt(t *testing.T) {
	t.Parallel()

	b := setup(t, options{threshold: 1})
	b.sink.FailNext(1, sinks.Transient, errors.New("away"))
	in := deliverInput(payloads(1))
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, 1, out.Pending[0].Attempts)

	in.Job = &out.Pending[0]
	for range 3 {
		_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		var state struct{ Job workflows.DeliverJob }
		require.NoError(t, b.beat.Get(&state))
		require.Equal(t, 1, state.Job.Attempts)
		b.resume(t)
	}
	require.Equal(t, 1, b.sink.Calls())
}

// Payloads that a breaker has held back for hours ask seldom whether it still
// does, and say nothing about it that would fill logs.
func TestDeliver_HeldForHours(t *testing.T) {
	t.Parallel()

	b := setup(t, options{threshold: 1, policy: config.Delivery{
		OnOpen: "hold", MaxAttempts: 3, InitialInterval: time.Second, MaxInterval: time.Hour, Timeout: 5 * time.Second, BatchSize: 100,
	}})
	b.sink.FailNext(1, sinks.Transient, errors.New("away"))
	in := deliverInput(payloads(1))
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.False(t, eventsOf[events.SinkRetry](b)[0].Held)

	in.Job = &out.Pending[0]
	in.Job.First = time.Now().Add(-2 * time.Hour)
	_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.InDelta(t, 30*time.Minute, nextRetry(t, err), float64(time.Minute))
	require.True(t, eventsOf[events.SinkRetry](b)[1].Held)
	var benign *temporal.ApplicationError
	require.ErrorAs(t, err, &benign)
	require.Equal(t, temporal.ApplicationErrorCategoryBenign, benign.Category())

	in.Job.First = time.Now().Add(-24 * time.Hour)
	_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.Equal(t, time.Hour, nextRetry(t, err))
}

// nasty is a payload whose encoding panics.
type nasty struct{}

func (nasty) MarshalJSON() ([]byte, error) { panic("cannot encode") }

// typedNil is an error whose text cannot be read.
type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

// Nothing of a handler ends the process, and the head of the stack is in the
// error.
func TestHooks_Panics(t *testing.T) {
	t.Parallel()

	var none *typedNil
	for _, tt := range []struct {
		name string
		hook func() (drakkar.CollectResult, error)
		want string
	}{
		{"Hook", func() (drakkar.CollectResult, error) { panic("boom") }, "goroutine"},
		{"Payload", func() (drakkar.CollectResult, error) {
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: nasty{}}}}, nil
		}, "cannot encode"},
		{"ErrorMethod", func() (drakkar.CollectResult, error) { return drakkar.CollectResult{}, none }, "Error method panics"},
		{"PanicWithAnErrorThatPanics", func() (drakkar.CollectResult, error) { panic(none) }, "Error method panics"},
		{"HugePanic", func() (drakkar.CollectResult, error) { panic(string(bytes.Repeat([]byte("x"), 1<<20))) }, "goroutine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{})
			b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) { return tt.hook() }
			b.handler.message = func(drakkar.MessageGroup[string]) (drakkar.CollectResult, error) { return tt.hook() }
			out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{
				Window: ref(), Batch: batch(drakkar.Task{Precomputed: &drakkar.Precomputed{}}),
			})
			require.NoError(t, err)
			require.Contains(t, out.Calls.List.Items[0].Error, tt.want)
			require.Less(t, len(out.Calls.List.Items[0].Error), 5000)

			out, err = run[workflows.Outcome](t, b, b.acts.Collect, workflows.CollectInput{
				Window: ref(), Stage: workflows.StageMessage, Messages: messages("x"), Retry: retry(3),
			})
			require.NoError(t, err)
			require.Contains(t, out.Calls.List.Items[0].Error, tt.want)
		})
	}
}

// The messages that cannot be arranged are isolated by splitting, once the
// attempts are used up; until then Temporal repeats the call.
func TestArrange_Isolates(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.handler.arrange = func(w drakkar.Window[string]) ([]drakkar.Task, error) {
		var out []drakkar.Task
		for _, m := range w.Messages {
			if m.Payload == "bad" {
				return nil, errors.New("bad apple")
			}
			out = append(out, m.Task())
		}
		return out, nil
	}
	in := workflows.ArrangeInput{Window: ref(), Messages: messages("a", "b", "bad", "c", "bad"), Retry: retry(3), Attempts: 1}
	_, err := run[workflows.Plan](t, b, b.acts.Arrange, in)
	require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
	require.Equal(t, 2*time.Second, nextRetry(t, err))
	b.resume(t)
	plan, err := run[workflows.Plan](t, b, b.acts.Arrange, in)
	require.NoError(t, err)
	require.Equal(t, 3, plan.Tasks)
	require.Equal(t, workflows.Ranges([]int64{102, 104}), plan.LetterOffsets)
	require.Equal(t, workflows.ClassArrange, plan.Letters.Items[0].Class)
	require.Equal(t, 5, plan.Letters.Items[0].Attempts, "three together and two alone")
}
