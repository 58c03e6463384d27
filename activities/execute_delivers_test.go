package activities_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// delivering is a batch of two tasks whose window wants them delivered.
func delivering() workflows.ExecuteInput {
	return workflows.ExecuteInput{
		Window: ref(), Deliver: true,
		Batch: batch(drakkar.Task{Args: []string{"one"}}, drakkar.Task{Args: []string{"two"}}),
	}
}

func TestExecute_Delivers(t *testing.T) {
	t.Parallel()

	t.Run("WhatHasArrivedDoesNotTravel", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, delivering())
		require.NoError(t, err)
		require.Len(t, b.sink.Payloads(), 2)
		require.Equal(t, &workflows.DeliverResult{Delivered: 2}, out.Delivery)
		require.Zero(t, out.Outputs)
		require.Equal(t, workflows.Counts{count(100, 101, 1)}, out.Settled)
	})

	t.Run("OnlyIfTheWindowAsksForIt", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		in := delivering()
		in.Deliver = false
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
		require.NoError(t, err)
		require.Empty(t, b.sink.Payloads())
		require.Nil(t, out.Delivery)
		require.Equal(t, 2, out.Outputs.Len)
	})

	t.Run("NothingToDeliver", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) { return drakkar.CollectResult{}, nil }
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, delivering())
		require.NoError(t, err)
		require.Nil(t, out.Delivery)
	})

	t.Run("WhatIsRefusedIsLeftToTheWindow", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		b.sink.Refuse(func(p sinks.Payload) error {
			if p.Source.Offset == 101 {
				return errors.New("too ugly")
			}
			return nil
		})
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, delivering())
		require.NoError(t, err)
		require.Equal(t, 1, out.Delivery.Delivered)
		require.Len(t, out.Delivery.Pending, 1)
		job := out.Delivery.Pending[0]
		require.True(t, job.DLQ)
		require.Equal(t, []workflows.Range{{First: 101, Last: 101}}, job.Offsets)

		in := workflows.DeliverInput{Window: ref(), Job: &job, Sources: messages("one", "two")}
		in.Outputs = append(in.Outputs, out.Outputs)
		res, err := run[workflows.DeliverResult](t, b, b.acts.Deliver, in)
		require.NoError(t, err)
		require.Equal(t, workflows.DeliverResult{DeadLettered: 1}, res)
		require.Equal(t, "two\n", b.letters.letters[0].Payload.Value.String(), "positions are those of the outputs")
	})

	for name, bend := range map[string]func(in *workflows.ExecuteInput){
		"Records": func(in *workflows.ExecuteInput) { in.Records = true }, // with no room for them
		"Outputs": func(in *workflows.ExecuteInput) { in.Window.InlineLimit = 10 },
	} {
		t.Run("NothingHasArrivedBeforeTheOutcomeIsKept"+name, func(t *testing.T) {
			t.Parallel()

			b := setup(t, options{})
			b.full.Store(true)
			in := delivering()
			bend(&in)
			_, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
			require.Error(t, err)
			require.Empty(t, b.sink.Payloads(), "it would be delivered again with each attempt")
		})
	}

	t.Run("RepetitionsDoNotWaitForSinks", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		in := delivering()
		in.Batch = batch(drakkar.Task{Args: []string{"one"}}, drakkar.Task{Binary: "/bin/false"})
		b.handler.onError = func(drakkar.Task, drakkar.TaskError) drakkar.ErrorAction { return drakkar.Retry(time.Second) }
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
		require.NoError(t, err)
		require.Len(t, out.FollowUps, 1)
		require.Nil(t, out.Delivery)
		require.Equal(t, 1, out.Outputs.Len)
	})

	t.Run("AStoppingWorkerLeavesItToOthers", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{})
		stop := make(chan struct{})
		b.env.SetWorkerStopChannel(stop)
		close(stop)
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, delivering())
		require.NoError(t, err)
		require.Nil(t, out.Delivery)
		require.Equal(t, 2, out.Outputs.Len, "the tasks need not run again")
	})

	t.Run("AWorkerThatIsStoppedInTheMiddle", func(t *testing.T) {
		t.Parallel()

		b := setup(t, options{other: config.Delivery{
			OnOpen: "hold", MaxAttempts: 3, InitialInterval: time.Second, MaxInterval: time.Minute, Timeout: time.Minute, BatchSize: 100,
		}})
		resume := b.other.Stall()
		defer resume()
		stop := b.stoppable()
		b.sink.Refuse(func(sinks.Payload) error { stop(); return nil })
		b.handler.complete = func(drakkar.Result) (drakkar.CollectResult, error) {
			return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Sink: "out", Data: "1"}, {Sink: "other", Data: "2"}}}, nil
		}
		in := delivering()
		in.Batch = batch(drakkar.Task{Args: []string{"one"}})
		out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
		require.NoError(t, err)
		require.Equal(t, 1, out.Delivery.Delivered)
		require.Len(t, out.Delivery.Pending, 1)
		require.Zero(t, out.Delivery.Pending[0].Attempts, "it was cut off")
		require.Equal(t, []workflows.Range{{First: 1, Last: 1}}, out.Delivery.Pending[0].Items.Items)
		require.Equal(t, 2, out.Outputs.Len)
	})
}

// However many batches wait for a slow sink, only so many keep their outputs in
// memory.
func TestExecute_LeavesDeliveriesToTheWindow(t *testing.T) {
	t.Parallel()

	b := setup(t, options{cfg: func(c *activities.Config) { c.HookTimeout = time.Minute }})
	entered, release := make(chan struct{}), make(chan struct{})
	b.sink.Refuse(func(sinks.Payload) error { return errors.New("too ugly") })
	b.handler.delivery = func(drakkar.DeliveryError) drakkar.DeliveryAction {
		entered <- struct{}{}
		<-release
		return drakkar.SkipDelivery()
	}
	in := delivering()
	in.Batch = batch(drakkar.Task{Args: []string{"one"}})
	done := make(chan error, 100)
	for range cap(done) {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		env.RegisterActivity(b.acts.Execute)
		go func() {
			_, err := env.ExecuteActivity(b.acts.Execute, in)
			done <- err
		}()
	}
	for range cap(done) {
		<-entered
	}
	out, err := run[workflows.Outcome](t, b, b.acts.Execute, in)
	require.NoError(t, err)
	require.Nil(t, out.Delivery)
	require.Equal(t, 1, out.Outputs.Len)
	close(release)
	for range cap(done) {
		require.NoError(t, <-done)
	}
}
