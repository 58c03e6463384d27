package drakkar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
)

func TestMessageGroup(t *testing.T) {
	t.Parallel()

	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name                       string
		tasks, results, errors     int
		replaced                   int
		allSucceeded, failed, none bool
	}{
		{name: "NoTasks", none: true},
		{name: "OneSuccess", tasks: 1, results: 1, allSucceeded: true},
		{name: "OneFailure", tasks: 1, errors: 1, failed: true},
		{name: "Mixed", tasks: 3, results: 2, errors: 1, failed: true},
		{name: "FailureReplacedByTwoSuccesses", tasks: 3, results: 2, replaced: 1, allSucceeded: true},
		{name: "FailureReplacedByOneSkipped", tasks: 2, errors: 1, replaced: 1, failed: true},
		{name: "RetriesAddNothing", tasks: 2, results: 1, replaced: 1, allSucceeded: true},
		{name: "ReplacedByNothing", tasks: 1, replaced: 1},
		{name: "MoreOutcomesThanTasks", tasks: 1, results: 1, errors: 1, failed: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			g := drakkar.MessageGroup[string]{
				Tasks: make([]drakkar.Task, tt.tasks), Results: make([]drakkar.Result, tt.results),
				Errors: make([]drakkar.TaskError, tt.errors), StartedAt: began, FinishedAt: began.Add(1500 * time.Millisecond),
			}
			require.Equal(t, tt.tasks, g.Total())
			require.Equal(t, tt.results, g.Succeeded())
			require.Equal(t, tt.errors, g.Failed())
			require.Equal(t, tt.replaced, g.Replaced())
			require.Equal(t, tt.allSucceeded, g.AllSucceeded())
			require.Equal(t, tt.failed, g.AnyFailed())
			require.Equal(t, tt.none, g.IsEmpty())
			require.Equal(t, 1500*time.Millisecond, g.Duration())
		})
	}
	backwards := drakkar.MessageGroup[string]{StartedAt: began, FinishedAt: began.Add(-time.Second)}
	require.Zero(t, backwards.Duration())
}

func TestCollectResult_Len(t *testing.T) {
	t.Parallel()

	require.Zero(t, drakkar.CollectResult{}.Len())
	require.Equal(t, 7, drakkar.CollectResult{
		Kafka: make([]drakkar.KafkaPayload, 2), Postgres: make([]drakkar.PostgresPayload, 1), Mongo: make([]drakkar.MongoPayload, 1),
		HTTP: make([]drakkar.HTTPPayload, 1), Redis: make([]drakkar.RedisPayload, 1), Files: make([]drakkar.FilePayload, 1),
	}.Len())
}
