package activities_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// All messages of a task wait for its dead letter, which is their only trace.
func TestLetters_OfSharedTasks(t *testing.T) {
	t.Parallel()

	b := setup(t, options{plain: true, cfg: func(c *activities.Config) { c.MaxRetries = 0 }})
	fails := drakkar.Task{Binary: "/bin/false", SourceOffsets: []int64{100, 105, 107}}
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, workflows.ExecuteInput{Window: ref(), Batch: batch(fails)})
	require.NoError(t, err)
	require.Equal(t, 1, out.Letters.Len)
	require.Equal(t, workflows.Ranges([]int64{100, 105, 107}), out.LetterOffsets)

	b.letters.err = errors.New("away")
	in := workflows.DeliverInput{Window: ref(), Letters: []blobs.List[workflows.Letter]{out.Letters}, Sources: messages("zero")}
	res, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Len(t, res.Pending, 1)
	require.Equal(t, workflows.Ranges([]int64{100, 105, 107}), res.Pending[0].Offsets)

	b.letters.err = nil
	in.Job = &res.Pending[0]
	res, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, workflows.DeliverResult{DeadLettered: 1}, res, "one letter for all of them")
}

// Letters of one hook for several messages are not taken for those of other
// tasks of these messages.
func TestLetters_HaveIDsOfTheirOwn(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	shared := &workflows.TaskSpec{Task: drakkar.Task{ID: "a", SourceOffsets: []int64{100, 101}}, Index: "0", Attempt: 1}
	own := &workflows.TaskSpec{Task: drakkar.Task{ID: "b", SourceOffsets: []int64{101}}, Index: "0", Attempt: 1}
	in := workflows.DeliverInput{Window: ref(), Sources: messages("zero", "one"), Letters: []blobs.List[workflows.Letter]{list(
		workflows.Letter{Kind: workflows.LetterMessage, Each: workflows.Ranges(shared.SourceOffsets), Task: shared, Class: workflows.ClassHook},
		workflows.Letter{Kind: workflows.LetterTask, Offset: 101, Task: own},
	)}}
	_, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	ids := map[string]bool{}
	for _, l := range b.letters.letters {
		ids[l.ID] = true
	}
	require.Len(t, ids, 3)
}

// ofHook reports whether an error is that of a hook.
func ofHook(err error) bool {
	e, is := errors.AsType[*temporal.ApplicationError](err)
	return is && e.Type() == workflows.ErrTypeHook
}

// A window that cannot tell its tasks is no fault of the messages of another.
func TestArrange_PendingIsAway(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.handler.arrange = func(w drakkar.Window[string]) ([]drakkar.Task, error) {
		_, err := w.Pending(context.Background())
		return nil, err
	}
	in := workflows.ArrangeInput{Window: ref(), Messages: messages("x", "y"), Open: []string{"p/in/3/e/50"}, Retry: retry(1)}
	_, err := runLocal[workflows.Plan](t, b, b.acts.Arrange, in)
	require.False(t, ofHook(err), "it counts as no attempt")
	require.ErrorContains(t, err, "asking window p/in/3/e/50")
	in.Attempts = 1 // isolates what cannot be arranged
	_, err = run[workflows.Plan](t, b, b.acts.Arrange, in)
	require.ErrorContains(t, err, "no window is open")

	b.acts.Pending = func(context.Context, string) ([]blobs.List[workflows.TaskSpec], error) {
		return []blobs.List[workflows.TaskSpec]{{Len: 3, Ref: "p/gone"}}, nil
	}
	_, err = run[workflows.Plan](t, b, b.acts.Arrange, in)
	require.NoError(t, err, "what is lost of it is left out")
}

// stuck is a handler whose Deserialize waits for something.
type stuck struct {
	*echo
	until chan struct{}
}

func (s stuck) Deserialize(context.Context, drakkar.Record) (string, error) {
	<-s.until
	return "late", nil
}

// A Deserialize that does not return blames no message and holds nobody up.
func TestArrange_DeserializeDoesNotReturn(t *testing.T) {
	t.Parallel()

	b := setup(t, options{cfg: func(c *activities.Config) { c.HookTimeout = 50 * time.Millisecond }})
	h := stuck{echo: b.handler, until: make(chan struct{})}
	defer close(h.until)
	b.acts.Pipeline = drakkar.NewPipeline(h)
	_, err := runLocal[workflows.Plan](t, b, b.acts.Arrange, workflows.ArrangeInput{Window: ref(), Messages: messages("x")})
	require.False(t, ofHook(err))
	require.ErrorContains(t, err, "decoding 1 messages: the hook did not return")
	require.Empty(t, eventsOf[events.ParseFailed](b))
}

// The hook of a window is about the messages it was called for, also the second
// time.
func TestCollect_WindowHookAgain(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.handler.window = func([]drakkar.Result, []drakkar.Message[string]) (drakkar.CollectResult, error) {
		return drakkar.CollectResult{}, errors.New("away")
	}
	in := workflows.CollectInput{Window: ref(), Stage: workflows.StageWindow, Messages: messages("zero", "one"), Retry: retry(5)}
	out, err := runLocal[workflows.Outcome](t, b, b.acts.Collect, in)
	require.NoError(t, err)
	require.Equal(t, []workflows.Range{{First: 100, Last: 101}}, out.Calls.Messages)
}

// A task that was replaced by nothing has not failed, also for who reads that
// from a heartbeat.
func TestExecute_ReplacedByNothing(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.handler.onError = func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { return drakkar.Replace() }
	in := workflows.ExecuteInput{Window: ref(), Batch: batch(drakkar.Task{Binary: "/bin/false"})}
	in.Window.InlineLimit = 0 // no room for letters or outputs
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.NoError(t, err)
	require.Zero(t, out.Failed)

	in.Patient = true
	attempts := 0
	b.handler.onError = func(task drakkar.Task, _ drakkar.TaskError) drakkar.ErrorAction {
		if task.ID == "other" {
			if attempts++; attempts == 1 {
				return drakkar.Retry(time.Minute)
			}
		}
		return drakkar.Replace()
	}
	in.Batch = batch(drakkar.Task{Binary: "/bin/false"}, drakkar.Task{ID: "other", Binary: "/bin/false"})
	_, err = run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
	b.resume(t)
	out, err = run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.NoError(t, err)
	require.Zero(t, out.Failed)
}

// Attempts at a sink that was away are no refusals: RetryDelivery has all of its
// own.
func TestDeliver_RetryAfterAnOutage(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	b.handler.delivery = func(drakkar.DeliveryError) drakkar.DeliveryAction { return drakkar.RetryDelivery(time.Hour) }
	b.sink.Refuse(func(sinks.Payload) error { return errors.New("no") })
	in := deliverInput(payloads(1))
	in.Job = &workflows.DeliverJob{Items: list(workflows.Range{}), Attempts: 50}
	for range 2 { // of three
		_, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		require.Equal(t, time.Hour, nextRetry(t, err))
		b.resume(t)
	}
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.True(t, out.Pending[0].DLQ)
}
