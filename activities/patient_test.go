package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// delivery is a sink that is tried again after the pause, for as long as it
// takes.
func delivery(pause time.Duration) config.Delivery {
	return config.Delivery{
		OnOpen: "hold", MaxAttempts: 3, InitialInterval: pause, MaxInterval: max(pause, time.Minute),
		Timeout: time.Minute, BatchSize: 100,
	}
}

// patiently is n payloads for each of two sinks, for a Deliver that comes back
// only when nothing is left.
func patiently(n int) workflows.DeliverInput {
	all := append(payloads(n), payloads(n)...)
	for i := range all {
		if i >= n {
			all[i].ID += "-other"
			all[i].To.Name = "other"
		}
	}
	in := deliverInput(all)
	in.Patient = true
	return in
}

// waiting are the jobs that the last run left, by the sink they are for.
func (b *testBundle) waiting(t *testing.T) (byName map[string]workflows.DeliverJob, achieved workflows.DeliverResult) {
	t.Helper()

	var state struct {
		Waiting []struct {
			Job workflows.DeliverJob `json:"job"`
		} `json:"waiting"`
		Achieved workflows.DeliverResult `json:"achieved"`
	}
	require.NoError(t, b.beat.Get(&state))
	byName = map[string]workflows.DeliverJob{}
	for _, w := range state.Waiting {
		byName[w.Job.To.Name] = w.Job
	}
	return byName, state.Achieved
}

// resumeDue is resume once everything that waits is due.
func (b *testBundle) resumeDue(t *testing.T) {
	t.Helper()

	var state map[string]json.RawMessage
	require.NoError(t, b.beat.Get(&state))
	var waiting []map[string]any
	require.NoError(t, json.Unmarshal(state["waiting"], &waiting))
	for _, w := range waiting {
		w["due"] = time.Now().Add(-time.Minute)
	}
	data, err := json.Marshal(waiting)
	require.NoError(t, err)
	state["waiting"] = data
	b.env.SetHeartbeatDetails(state)
}

func TestDeliverPatiently(t *testing.T) {
	t.Parallel()

	t.Run("EachSinkHasItsOwnPause", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{policy: delivery(time.Nanosecond), other: delivery(time.Hour)})
		b.sink.FailNext(2, sinks.Transient, errors.New("away"))
		b.other.FailNext(1, sinks.Transient, errors.New("away for long"))
		in := patiently(3)
		for range 2 { // the first attempt at all, and the second at the one that is due
			_, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
			require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
			require.Less(t, nextRetry(t, err), time.Minute)
			b.resume(t)
		}
		_, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		require.Greater(t, nextRetry(t, err), 59*time.Minute, "only the other sink is left")
		require.Len(t, b.sink.Deliveries(), 3)
		require.Equal(t, 1, b.other.Calls(), "its time has not come")
		jobs, achieved := b.waiting(t)
		require.Equal(t, 1, jobs["other"].Attempts)
		require.Equal(t, 3, achieved.Delivered)

		b.resumeDue(t)
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.Equal(t, workflows.DeliverResult{Delivered: 6}, out)
		require.Len(t, b.sink.Deliveries(), 3, "nothing is delivered twice")
		require.Len(t, b.other.Deliveries(), 3)
	})

	t.Run("NothingDueChangesNothing", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{policy: delivery(time.Hour), other: delivery(time.Hour)})
		b.sink.FailNext(1, sinks.Transient, errors.New("away"))
		in := patiently(2)
		for range 3 { // a worker that was told to come too early
			_, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
			require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
			require.Greater(t, nextRetry(t, err), 59*time.Minute)
			b.resume(t)
		}
		jobs, achieved := b.waiting(t)
		require.Len(t, jobs, 1)
		require.Equal(t, 1, jobs["out"].Attempts)
		require.Equal(t, 2, achieved.Delivered)
		require.Len(t, b.other.Deliveries(), 2)
	})

	t.Run("RefusedPayloadsGoOnToTheDeadLetterQueue", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{policy: delivery(time.Hour), other: delivery(time.Hour)})
		b.sink.Refuse(func(p sinks.Payload) error {
			if p.ID == "id1" {
				return errors.New("too ugly")
			}
			return nil
		})
		b.letters.err = errors.New("away")
		in := patiently(3)
		in.Sources = messages("zero", "one", "two")
		_, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		b.resumeDue(t)
		_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		jobs, _ := b.waiting(t)
		require.True(t, jobs["out"].DLQ)
		require.Equal(t, 1, jobs["out"].DLQAttempts)

		b.letters.err = nil
		b.resumeDue(t)
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.Equal(t, workflows.DeliverResult{Delivered: 5, DeadLettered: 1}, out)
		require.Len(t, b.letters.letters, 1)
		require.Equal(t, "one", b.letters.letters[0].Source.Value.String())
	})

	t.Run("AJobWaitsForItsTime", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{policy: delivery(time.Hour), other: delivery(time.Hour)})
		in := patiently(3)
		in.Job = &workflows.DeliverJob{
			To: sinks.Ref{Type: sinks.Kafka, Name: "out"}, Items: list(workflows.Range{First: 1, Last: 2}),
			Offsets: []workflows.Range{{First: 101, Last: 102}}, After: time.Hour, Attempts: 7,
		}
		_, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		require.Greater(t, nextRetry(t, err), 59*time.Minute)
		require.Zero(t, b.sink.Calls())

		b.resumeDue(t)
		b.sink.FailNext(1, sinks.Transient, errors.New("away"))
		_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		jobs, _ := b.waiting(t)
		require.Equal(t, 8, jobs["out"].Attempts, "what was made before counts")

		b.resumeDue(t)
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.Equal(t, workflows.DeliverResult{Delivered: 2}, out, "the job, and nothing else of the input")
		require.Len(t, b.sink.Deliveries(), 2)
		require.Zero(t, b.other.Calls())
	})

	t.Run("TooManyGoBackToTheWindow", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{policy: delivery(time.Hour), other: delivery(time.Hour)})
		var waiting []map[string]any
		for i := range int64(33) {
			waiting = append(waiting, map[string]any{"due": time.Now().Add(time.Hour), "job": workflows.DeliverJob{
				To: sinks.Ref{Type: sinks.Kafka, Name: "out"}, Items: list(workflows.Range{First: i, Last: i}),
				Offsets: []workflows.Range{{First: 100 + i, Last: 100 + i}}, Attempts: 1,
			}})
		}
		b.env.SetHeartbeatDetails(map[string]any{
			"begun": true, "waiting": waiting, "achieved": workflows.DeliverResult{Delivered: 33, Skipped: 1},
		})
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, patiently(33))
		require.NoError(t, err)
		require.Len(t, out.Pending, 33)
		require.Equal(t, 33, out.Delivered)
		require.Equal(t, 1, out.Skipped)
		require.Zero(t, b.sink.Calls())
	})

	t.Run("TheStoreIsAway", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{policy: delivery(time.Hour), other: delivery(time.Hour)})
		in := patiently(1)
		in.Outputs = []blobs.List[workflows.Output]{{Ref: "p/none", Len: 2}}
		_, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeLost, errorType(t, err), "the window dead-letters the messages")
	})

	t.Run("TheWorkerStopsInTheMiddle", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{policy: delivery(time.Hour), other: delivery(time.Hour)})
		b.sink.FailNext(1, sinks.Transient, errors.New("away"))
		b.other.FailNext(1, sinks.Transient, errors.New("away"))
		in := patiently(3)
		_, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		require.Empty(t, b.sink.Deliveries())

		// The jobs are tried one after the other, the second when the worker has
		// no time left.
		b.resumeDue(t)
		stop := b.stoppable()
		b.sink.Refuse(func(sinks.Payload) error { stop(); return nil })
		_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Error(t, err)
		jobs, achieved := b.waiting(t)
		require.Equal(t, 3, achieved.Delivered)
		require.Len(t, jobs, 1)
		require.Equal(t, 1, jobs["other"].Attempts, "it was cut off: no attempt")

		b.env.SetWorkerOptions(worker.Options{BackgroundActivityContext: context.Background()})
		b.resumeDue(t)
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.Equal(t, workflows.DeliverResult{Delivered: 6}, out)
		require.Len(t, b.sink.Deliveries(), 3, "what has arrived is not delivered again")
		require.Len(t, b.other.Deliveries(), 3)
	})
}

// stoppable gives activities a context that ends as that of a worker whose time
// to stop is over. Heartbeats after that reach Temporal only with another one.
func (b *testBundle) stoppable() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	b.env.SetWorkerOptions(worker.Options{
		BackgroundActivityContext: ctx, Interceptors: []interceptor.WorkerInterceptor{&deafInterceptor{}},
	})
	return cancel
}

// deafInterceptor drops heartbeats whose context has ended, as a connection does.
type deafInterceptor struct {
	interceptor.WorkerInterceptorBase
}

func (*deafInterceptor) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &deafInbound{interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type deafInbound struct {
	interceptor.ActivityInboundInterceptorBase
}

func (d *deafInbound) Init(out interceptor.ActivityOutboundInterceptor) error {
	return d.Next.Init(&deafOutbound{interceptor.ActivityOutboundInterceptorBase{Next: out}})
}

type deafOutbound struct {
	interceptor.ActivityOutboundInterceptorBase
}

func (d *deafOutbound) RecordHeartbeat(ctx context.Context, details ...any) {
	if ctx.Err() == nil {
		d.Next.RecordHeartbeat(ctx, details...)
	}
}

// What has arrived when the worker has no time left is not delivered again by
// the next one.
func TestDeliver_IsCutOff(t *testing.T) {
	t.Parallel()

	b := setup(t, options{policy: delivery(time.Hour), other: delivery(time.Hour)})
	in := patiently(3)
	in.Patient = false
	stop := b.stoppable()
	b.other.Stall()
	b.sink.Refuse(func(p sinks.Payload) error {
		if p.ID == "id2" {
			stop()
		}
		return nil
	})
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, 3, out.Delivered)
	require.Len(t, out.Pending, 1)
	job := out.Pending[0]
	require.Equal(t, "other", job.To.Name)
	require.Zero(t, job.Attempts, "it was none")
	require.Zero(t, job.After)
	require.Equal(t, []workflows.Range{{First: 3, Last: 5}}, job.Items.Items)
	require.Equal(t, []workflows.Range{{First: 100, Last: 102}}, job.Offsets)
}

// A hook that is cut off because the worker stops has not said where payloads
// go.
func TestDeliver_HookIsCutOff(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	stop := b.stoppable()
	b.handler.delivery = func(drakkar.DeliveryError) drakkar.DeliveryAction {
		stop()
		panic("cut off")
	}
	b.sink.Refuse(func(p sinks.Payload) error {
		if p.ID == "id1" {
			return errors.New("too ugly")
		}
		return nil
	})
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, deliverInput(payloads(3)))
	require.NoError(t, err)
	require.Equal(t, 2, out.Delivered, "what has arrived is not delivered again")
	require.Len(t, out.Pending, 1)
	job := out.Pending[0]
	require.True(t, job.Ask, "an executor that goes on asks again")
	require.False(t, job.DLQ)
	require.Zero(t, job.HookAttempts)
	require.Equal(t, []workflows.Range{{First: 1, Last: 1}}, job.Items.Items)

	b.env.SetWorkerOptions(worker.Options{BackgroundActivityContext: context.Background()})
	b.handler.delivery = func(drakkar.DeliveryError) drakkar.DeliveryAction { return drakkar.SkipDelivery() }
	in := deliverInput(payloads(3))
	in.Job = &job
	out, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, workflows.DeliverResult{Skipped: 1}, out)
}

// Letters that are cut off, since the worker stops, are left alone to another
// run: neither outputs that have arrived nor letters that are in the queue come
// again.
func TestDeliver_LettersAreCutOff(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	stop := b.stoppable()
	b.letters.refuse = func(e dlq.Envelope) error {
		if e.Source.Offset == 102 {
			return nil
		}
		stop()
		return context.Canceled
	}
	in := deliverInput(payloads(2))
	in.Letters = []blobs.List[workflows.Letter]{{Len: 2, Items: []workflows.Letter{
		{Kind: workflows.LetterMessage, Offset: 102, Class: workflows.ClassParse},
		{Kind: workflows.LetterMessage, Offset: 103, Class: workflows.ClassParse},
	}}}
	in.Sources = messages("zero", "one", "two", "three")
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, 2, out.Delivered)
	require.Equal(t, 1, out.DeadLettered)
	require.Len(t, out.Pending, 1)
	job := out.Pending[0]
	require.Equal(t, []workflows.Range{{First: 1, Last: 1}}, job.Items.Items)
	require.Equal(t, []workflows.Range{{First: 103, Last: 103}}, job.Offsets)
	require.Zero(t, job.DLQAttempts, "it was none")
	require.Empty(t, eventsOf[events.DLQFailed](b), "nor the queue's fault")
}

// When nothing of the letters is in the queue, the outputs have arrived all the
// same.
func TestDeliver_AllLettersAreCutOff(t *testing.T) {
	t.Parallel()

	b := setup(t, options{})
	stop := b.stoppable()
	b.letters.refuse = func(dlq.Envelope) error { stop(); return context.Canceled }
	in := deliverInput(payloads(2))
	in.Letters = []blobs.List[workflows.Letter]{{Len: 1, Items: []workflows.Letter{
		{Kind: workflows.LetterMessage, Offset: 102, Class: workflows.ClassParse},
	}}}
	in.Sources = messages("zero", "one", "two")
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, 2, out.Delivered)
	require.Equal(t, []workflows.DeliverJob{{
		DLQ: true, Letters: true, Items: blobs.List[workflows.Range]{Items: []workflows.Range{{}}, Len: 1}, Offsets: []workflows.Range{{First: 102, Last: 102}},
	}}, out.Pending)
}
