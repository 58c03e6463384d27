package ingest

import (
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// The latest point from which a closed run can go on, by its history.
func TestPastRun(t *testing.T) {
	t.Parallel()

	const (
		begin    = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
		schedule = enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
		start    = enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED
		complete = enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
		late     = enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
		fail     = enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED
		run      = enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED
		done     = enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
		cancel   = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
		killed   = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
		failed   = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
		canceled = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
	)
	for name, tt := range map[string]struct {
		events []enumspb.EventType
		want   int64
	}{
		"NeverRan":                 {[]enumspb.EventType{begin, schedule, killed}, 2},
		"StepUnderWay":             {[]enumspb.EventType{begin, schedule, start, killed}, 3},
		"StepUnderWayLosesResults": {[]enumspb.EventType{begin, schedule, start, fail, run, done, killed}, 3},
		"StepsTaken":               {[]enumspb.EventType{begin, schedule, start, complete, run, killed}, 3},
		"ResultsWaitForAStep":      {[]enumspb.EventType{begin, schedule, start, complete, run, done, schedule, run, done, run, done, killed}, 11},
		"ResultsThenAStep":         {[]enumspb.EventType{begin, schedule, start, complete, run, done, schedule, run, done, start, killed}, 10},
		"NobodyTookIt":             {[]enumspb.EventType{begin, schedule, start, complete, run, done, schedule, late, schedule, run, done, killed}, 11},
		"StepTimedOut":             {[]enumspb.EventType{begin, schedule, start, late, run, done, killed}, 3},
		"Failed":                   {[]enumspb.EventType{begin, schedule, start, complete, failed}, 3},
		"Cancelled":                {[]enumspb.EventType{begin, schedule, start, complete, cancel, schedule, start, complete, canceled}, 3},
		"CancelledWhileItWaits":    {[]enumspb.EventType{begin, schedule, run, done, cancel, run, done, start, complete, canceled}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var h pastRun
			for i, e := range tt.events {
				h.take(&historypb.HistoryEvent{EventId: int64(i) + 1, EventType: e})
			}
			require.Equal(t, tt.want, h.keep)
		})
	}
}
