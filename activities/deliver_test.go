package activities_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// payloads are n outputs of messages from offset 100.
func payloads(n int) []workflows.Output {
	var out []workflows.Output
	for i := range n {
		out = append(out, workflows.Output{Payload: sinks.Payload{
			ID: fmt.Sprint("id", i), To: sinks.Ref{Type: sinks.Kafka, Name: "out"},
			Value:  drakkar.Bytes(fmt.Sprint("v", i)),
			Source: drakkar.Source{Topic: "t", Partition: 3, Offset: 100 + int64(i)},
		}})
	}
	return out
}

func deliverInput(lists ...[]workflows.Output) workflows.DeliverInput {
	in := workflows.DeliverInput{Window: ref()}
	for _, l := range lists {
		in.Outputs = append(in.Outputs, list(l...))
	}
	return in
}

func TestDeliver(t *testing.T) {
	t.Parallel()

	t.Run("AllLists", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		all := payloads(5)
		stored, err := blobs.Pack(t.Context(), b.store, "p", 0, all[2:])
		require.NoError(t, err)
		in := deliverInput(all[:2])
		in.Outputs = append(in.Outputs, stored)
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.Equal(t, workflows.DeliverResult{Delivered: 5}, out)
		require.Len(t, b.sink.Payloads(), 5)
		require.Len(t, eventsOf[events.Produced](b), 5)
	})

	t.Run("TransientWaitsForAsLongAsItTakes", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.sink.FailNext(1, sinks.Transient, errors.New("away"))
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, deliverInput(payloads(3)))
		require.NoError(t, err)
		require.Len(t, out.Pending, 1)
		job := out.Pending[0]
		require.False(t, job.DLQ)
		require.Equal(t, []workflows.Range{{First: 0, Last: 2}}, job.Items.Items)
		require.Equal(t, []workflows.Range{{First: 100, Last: 102}}, job.Offsets)
		require.Equal(t, time.Second, job.After)
		require.Equal(t, 1, job.Attempts)

		in := deliverInput(payloads(3))
		in.Job = &job
		in.Job.Attempts = 500
		b.sink.FailNext(1, sinks.Transient, errors.New("away"))
		_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err), "on_open is hold, and Temporal does the waiting")
		require.Equal(t, time.Minute, nextRetry(t, err))
	})

	t.Run("OneBadPayloadDoesNotTakeItsBatchAlong", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.sink.Refuse(func(p sinks.Payload) error {
			if p.ID == "id1" {
				return errors.New("too ugly")
			}
			return nil
		})
		all := payloads(4)
		all[1].Also = []int64{150}
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, deliverInput(all[:1], all[1:]))
		require.NoError(t, err)
		require.Equal(t, 3, out.Delivered)
		require.Len(t, out.Pending, 1)
		job := out.Pending[0]
		require.True(t, job.DLQ)
		require.Equal(t, workflows.ClassPermanent, job.Class)
		require.Equal(t, []workflows.Range{{First: 1, Last: 1}}, job.Items.Items)
		require.Equal(t, []workflows.Range{{First: 101, Last: 101}, {First: 150, Last: 150}}, job.Offsets, "only these wait")

		in := deliverInput(all[:1], all[1:])
		in.Job, in.Sources = &job, messages("zero", "one")
		out, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.Equal(t, workflows.DeliverResult{DeadLettered: 1}, out)
		letter := b.letters.letters[0]
		require.Equal(t, dlq.KindPayload, letter.Kind)
		require.Equal(t, "v1", letter.Payload.Value.String())
		require.Equal(t, "one", letter.Source.Value.String())
		require.Contains(t, letter.Error, "too ugly")
	})

	for _, tt := range []struct {
		name    string
		answer  drakkar.DeliveryAction
		attempt int
		want    workflows.DeliverResult
	}{
		{name: "Skip", answer: drakkar.SkipDelivery(), want: workflows.DeliverResult{Skipped: 1}},
		{name: "Retry", answer: drakkar.RetryDelivery(time.Hour), want: workflows.DeliverResult{
			Pending: []workflows.DeliverJob{{Attempts: 1, After: time.Hour}},
		}},
		{name: "RetryTooOften", answer: drakkar.RetryDelivery(time.Hour), attempt: 2, want: workflows.DeliverResult{
			Pending: []workflows.DeliverJob{{Attempts: 3, DLQ: true}},
		}},
	} {
		t.Run("OnDeliveryErrorAnswers"+tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{})
			b.handler.delivery = func(e drakkar.DeliveryError) drakkar.DeliveryAction {
				if !e.Permanent || e.SinkName != "out" || len(e.Payloads) != 1 || e.Payloads[0].Target != "results" {
					return drakkar.DLQ()
				}
				return tt.answer
			}
			b.sink.FailNext(1, sinks.Permanent, errors.New("no"))
			in := deliverInput(payloads(1))
			if tt.attempt > 0 {
				in.Job = &workflows.DeliverJob{Items: list(workflows.Range{}), Attempts: tt.attempt, Refused: tt.attempt}
			}
			out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
			require.NoError(t, err)
			require.Equal(t, tt.want.Skipped, out.Skipped)
			require.Len(t, out.Pending, len(tt.want.Pending))
			for i, want := range tt.want.Pending {
				require.Equal(t, want.Attempts, out.Pending[i].Attempts)
				require.Equal(t, want.DLQ, out.Pending[i].DLQ)
				if !want.DLQ {
					require.Equal(t, want.After, out.Pending[i].After)
				}
			}
		})
	}

	t.Run("ASinkOfANewerExecutorIsWaitedFor", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		p := payloads(1)
		p[0].To.Name = "of a newer version"
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, deliverInput(p))
		require.NoError(t, err)
		require.False(t, out.Pending[0].DLQ)
	})

	t.Run("GivesUpWhenTheSettingSaysSo", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{policy: config.Delivery{
			OnOpen: "dlq", MaxAttempts: 2, InitialInterval: time.Second, MaxInterval: time.Minute, Timeout: time.Second, BatchSize: 10,
		}})
		b.sink.FailNext(1, sinks.Transient, errors.New("away"))
		in := deliverInput(payloads(1))
		in.Job = &workflows.DeliverJob{Items: list(workflows.Range{}), Attempts: 1}
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.True(t, out.Pending[0].DLQ)
		require.Equal(t, workflows.ClassExhausted, out.Pending[0].Class)
	})

	t.Run("ADeadLetterQueueThatFailsIsAJobAgain", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.letters.err = errors.New("no rights")
		in := workflows.DeliverInput{
			Window: ref(), Sources: messages("x"),
			Letters: []blobs.List[workflows.Letter]{list(workflows.Letter{Kind: workflows.LetterMessage, Offset: 100, Class: "parse"})},
		}
		out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.Zero(t, out.DeadLettered)
		require.Equal(t, 1, out.Pending[0].DLQAttempts)
		require.Equal(t, []workflows.Range{{First: 100, Last: 100}}, out.Pending[0].Offsets)
		require.Equal(t, time.Second, out.Pending[0].After)

		in.Job = &out.Pending[0]
		_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err))
		require.Equal(t, 2*time.Second, nextRetry(t, err))

		b.letters.err = nil
		out, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.Equal(t, workflows.DeliverResult{DeadLettered: 1}, out)
		require.Equal(t, "x", b.letters.letters[0].Source.Value.String())
		require.Len(t, eventsOf[events.DLQFailed](b), 2)
		require.Len(t, eventsOf[events.DeadLettered](b), 1)
	})
}

// A dead letter without its source is the worse one: only a message that is
// gone from Kafka is left out, one that cannot be read now is waited for.
func TestDeliver_SourceOfADeadLetter(t *testing.T) {
	t.Parallel()

	letter := func(offset int64) workflows.Letter {
		return workflows.Letter{Kind: workflows.LetterMessage, Offset: offset, Class: "parse"}
	}
	in := workflows.DeliverInput{
		Window:  ref(),
		Sources: append(messages("x"), workflows.Message{Offset: 101, Size: 1 << 20}, workflows.Message{Offset: 102, Size: 9, Key: drakkar.Bytes("k")}),
		Letters: []blobs.List[workflows.Letter]{list(letter(100), letter(102), letter(101), letter(101))},
	}
	b := setup(t, options{})
	asked := map[int64]int{}
	b.acts.Source = sourceFunc(func(_ context.Context, offset int64) (drakkar.Record, error) {
		asked[offset]++
		if offset == 102 {
			return drakkar.Record{}, fmt.Errorf("compacted: %w", activities.ErrRecordGone)
		}
		return drakkar.Record{}, errors.New("brokers are away")
	})
	out, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, 2, out.DeadLettered, "those that need no broker, and those which no broker has")
	require.Equal(t, map[int64]int{101: 1, 102: 1}, asked, "brokers that are away are asked once")
	require.Contains(t, b.letters.letters[1].Source.ValueMissing, "compacted")
	require.Equal(t, "k", b.letters.letters[1].Source.Key.String(), "what has travelled is kept")
	require.Len(t, out.Pending, 1)
	job := out.Pending[0]
	require.Equal(t, []workflows.Range{{First: 101, Last: 101}}, job.Offsets)
	require.Equal(t, []workflows.Range{{First: 2, Last: 3}}, job.Items.Items)
	failed := eventsOf[events.DLQFailed](b)
	require.Len(t, failed, 1)
	require.Equal(t, 2, failed[0].Entries)
	require.ErrorContains(t, failed[0].Err, "brokers are away")

	in.Job = &job
	_, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.Equal(t, workflows.ErrTypeNotYet, errorType(t, err), "and again, for as long as it takes")
	require.Len(t, b.letters.letters, 2)

	b.acts.Source = log{101: drakkar.Bytes("large")}
	out, err = run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
	require.NoError(t, err)
	require.Equal(t, workflows.DeliverResult{DeadLettered: 2}, out)
	require.Equal(t, "large", b.letters.letters[3].Source.Value.String())
}

// seer is a sink that sees whether it is told of a repetition.
type seer struct {
	sinks.Sink

	repeated []bool
}

func (s *seer) Deliver(ctx context.Context, batch []sinks.Payload) error {
	s.repeated = append(s.repeated, sinks.Repeated(ctx))
	return s.Sink.Deliver(ctx, batch)
}

// A sink is told when what it is given may have been sent before, by an attempt
// that nobody has counted.
func TestDeliver_TellsOfRepetition(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		job  *workflows.DeliverJob
		dies int32 // how often the worker does
		want bool
	}{
		{name: "First"},
		{name: "CutOff", job: &workflows.DeliverJob{Items: list(workflows.Range{}), First: time.Now()}, want: true},
		{name: "WorkerDied", dies: 1, want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{})
			s := &seer{Sink: b.sink}
			set, err := sinks.NewSet([]sinks.Instance{{
				Ref: sinks.Ref{Type: sinks.Kafka, Name: "out"}, Sink: s, Policy: sinks.Policy{Delivery: config.Delivery{BatchSize: 1}},
			}}, events.RecorderFunc(func(events.Event) {}))
			require.NoError(t, err)
			b.acts.Sinks = set
			in := deliverInput(payloads(1))
			in.Job = tt.job

			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestWorkflowEnvironment()
			env.RegisterActivityWithOptions(func(ctx context.Context, in workflows.DeliverInput) (workflows.DeliverResult, error) {
				if activity.GetInfo(ctx).Attempt <= tt.dies {
					return workflows.DeliverResult{}, errors.New("the worker died")
				}
				return b.acts.Deliver(ctx, in)
			}, activity.RegisterOptions{Name: "Deliver"})
			env.ExecuteWorkflow(func(ctx workflow.Context) error {
				ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
				return workflow.ExecuteActivity(ctx, "Deliver", in).Get(ctx, nil)
			})
			require.NoError(t, env.GetWorkflowError())
			require.Equal(t, []bool{tt.want}, s.repeated)
		})
	}
}

// sourceFunc is a log that a test bends.
type sourceFunc func(ctx context.Context, offset int64) (drakkar.Record, error)

func (f sourceFunc) Read(ctx context.Context, _ string, _ int32, offset int64) (drakkar.Record, error) {
	return f(ctx, offset)
}

func nextRetry(t *testing.T, err error) time.Duration {
	t.Helper()

	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	return app.NextRetryDelay()
}
