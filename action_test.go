package drakkar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
)

func TestErrorAction(t *testing.T) {
	t.Parallel()

	tasks := []drakkar.Task{{ID: "a"}}
	for _, tt := range []struct {
		name                       string
		action                     drakkar.ErrorAction
		retry, replace, deadLetter bool
		after                      time.Duration
		tasks                      []drakkar.Task
	}{
		{name: "ZeroIsSkip", action: drakkar.ErrorAction{}},
		{name: "Skip", action: drakkar.Skip()},
		{name: "Retry", action: drakkar.Retry(time.Second), retry: true, after: time.Second},
		{name: "RetryByPolicy", action: drakkar.Retry(0), retry: true},
		{name: "RetryInThePast", action: drakkar.Retry(-1), retry: true},
		{name: "Replace", action: drakkar.Replace(tasks...), replace: true, tasks: tasks},
		{name: "ReplaceByNothing", action: drakkar.Replace(), replace: true},
		{name: "DeadLetter", action: drakkar.DeadLetter(), deadLetter: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			after, retry := tt.action.IsRetry()
			require.Equal(t, tt.retry, retry)
			require.Equal(t, tt.after, after)
			got, replace := tt.action.IsReplace()
			require.Equal(t, tt.replace, replace)
			require.Equal(t, tt.tasks, got)
			require.Equal(t, tt.deadLetter, tt.action.IsDeadLetter())
		})
	}
	require.Equal(t, drakkar.ErrorAction{}, drakkar.Skip())
}

func TestDeliveryAction(t *testing.T) {
	t.Parallel()

	require.Equal(t, drakkar.DeliveryAction{}, drakkar.DLQ())
	after, retry := drakkar.DLQ().IsRetry()
	require.False(t, retry)
	require.Zero(t, after)
	require.False(t, drakkar.DLQ().IsSkip())

	after, retry = drakkar.RetryDelivery(time.Minute).IsRetry()
	require.True(t, retry)
	require.Equal(t, time.Minute, after)
	require.False(t, drakkar.RetryDelivery(0).IsSkip())
	after, _ = drakkar.RetryDelivery(-time.Minute).IsRetry()
	require.Zero(t, after)

	require.True(t, drakkar.SkipDelivery().IsSkip())
	_, retry = drakkar.SkipDelivery().IsRetry()
	require.False(t, retry)
}

func TestErrors_SayWhatTheyAreAbout(t *testing.T) {
	t.Parallel()

	var err error = drakkar.TaskError{Message: "exit code 1", Result: drakkar.Result{Task: drakkar.Task{ID: "0-1-0"}}}
	require.EqualError(t, err, "task 0-1-0: exit code 1")
	err = drakkar.DeliveryError{SinkType: "kafka", SinkName: "results", Message: "message too large"}
	require.EqualError(t, err, "delivering to kafka:results: message too large")
}
