package metrics

import (
	"errors"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

var (
	errTest   = errors.New("broken")
	at3       = events.At{Topic: "in", Partition: 3, Offset: 100}
	sinkKafka = events.Sink{Type: "kafka", Name: "results"}
	errTask   = drakkar.TaskError{Kind: drakkar.TaskTimeout, Result: drakkar.Result{Duration: 2 * time.Second}}
)

// moves lists for events what they do: a line for each series that has another
// value afterwards, histograms as _count and _sum.
var moves = []struct {
	name  string
	event events.Event
	want  []string
}{
	{"Annotated", events.Annotated{}, nil},
	{"AnnotatedDropped", events.Annotated{Dropped: true}, []string{"drakkar_annotations_dropped_total 1"}},
	{"Assigned", events.Assigned{Topic: "in", Partitions: []int32{1, 2}}, []string{
		"drakkar_assigned_partitions 2",
		`drakkar_rebalance_events_total{type="assign"} 1`,
	}},
	{"AssignmentReady", events.AssignmentReady{At: at3, Took: 2 * time.Second}, []string{
		"drakkar_assignment_duration_seconds_count 1",
		"drakkar_assignment_duration_seconds_sum 2",
	}},
	{"AssignmentReadyNewEpoch", events.AssignmentReady{At: at3, NewEpoch: "offset was reset"}, []string{
		"drakkar_assignment_duration_seconds_count 1",
		"drakkar_epochs_started_total 1",
	}},
	{"BreakerChangedHalfOpen", events.BreakerChanged{Sink: sinkKafka, State: "half_open"}, []string{
		`drakkar_sink_circuit_open{sink_name="results",sink_type="kafka"} 0.5`,
	}},
	{"BreakerChangedOpen", events.BreakerChanged{Sink: sinkKafka, State: "open"}, []string{
		`drakkar_sink_circuit_open{sink_name="results",sink_type="kafka"} 1`,
		`drakkar_sink_circuit_trips_total{sink_name="results",sink_type="kafka"} 1`,
	}},
	{"CommitFailed", events.CommitFailed{At: at3, Err: errTest}, []string{"drakkar_commit_failures_total 1"}},
	{"Committed", events.Committed{At: at3, Took: time.Second}, []string{
		"drakkar_commit_duration_seconds_count 1",
		"drakkar_commit_duration_seconds_sum 1",
		`drakkar_offsets_committed_total{partition="3",topic="in"} 1`,
	}},
	{"Consumed", events.Consumed{At: at3, Bytes: 70}, []string{
		`drakkar_consumed_bytes_total{partition="3",topic="in"} 70`,
		`drakkar_messages_consumed_total{partition="3",topic="in"} 1`,
	}},
	{"ConsumerError", events.ConsumerError{Err: errTest}, []string{"drakkar_consumer_errors_total 1"}},
	{"DLQFailed", events.DLQFailed{Entries: 3, Err: errTest}, []string{"drakkar_dlq_send_failures_total 1"}},
	{"DeadLetteredMessage", events.DeadLettered{At: at3, Class: "parse"}, []string{
		`drakkar_dead_letters_total{class="parse",kind="message",sink_name="",sink_type=""} 1`,
		"drakkar_sink_dlq_messages_total 1",
	}},
	{"DeadLetteredPayload", events.DeadLettered{At: at3, Sink: sinkKafka, Class: "permanent"}, []string{
		`drakkar_dead_letters_total{class="permanent",kind="payload",sink_name="results",sink_type="kafka"} 1`,
		"drakkar_sink_dlq_messages_total 1",
	}},
	{"HookRan", events.HookRan{Hook: "arrange", Took: time.Second}, []string{
		`drakkar_handler_duration_seconds_count{hook="arrange"} 1`,
		`drakkar_handler_duration_seconds_sum{hook="arrange"} 1`,
	}},
	{"HookRanPriorityError", events.HookRan{Hook: "task_priority", Err: errTest}, []string{
		"drakkar_executor_priority_fn_errors_total 1",
		`drakkar_handler_duration_seconds_count{hook="task_priority"} 1`,
		`drakkar_handler_duration_seconds_sum{hook="task_priority"} 0`,
		`drakkar_hook_errors_total{hook="task_priority"} 1`,
	}},
	{"IngestFailed", events.IngestFailed{At: at3, Err: errTest}, []string{"drakkar_ingest_failures_total 1"}},
	{"IngestFailedStuck", events.IngestFailed{At: at3, Err: errTest, Stuck: true}, []string{
		"drakkar_ingest_failures_total 1",
		"drakkar_ingest_stuck_total 1",
	}},
	{"OffsetsSkipped", events.OffsetsSkipped{At: at3, Next: 142}, []string{"drakkar_offsets_skipped_total 42"}},
	{"OldWindowsCancelled", events.OldWindowsCancelled{At: at3, Windows: 2}, []string{"drakkar_old_windows_cancelled_total 2"}},
	{"OrphanKilled", events.OrphanKilled{PID: 7}, []string{"drakkar_executor_orphans_killed_total 1"}},
	{"ResidentStarted", events.ResidentStarted{PID: 7}, []string{
		"drakkar_executor_resident_processes 1",
		"drakkar_executor_resident_started_total 1",
	}},
	{"ResidentEnded", events.ResidentEnded{PID: 7, Reason: "exited", Ready: true, Unclaimed: 9}, []string{
		`drakkar_executor_resident_ended_total{reason="exited"} 1`,
		"drakkar_executor_resident_processes -1",
		"drakkar_executor_resident_unclaimed_stderr_bytes_total 9",
	}},
	{"ResidentEndedBeforeItWasReady", events.ResidentEnded{PID: 7, Reason: "protocol"}, []string{
		`drakkar_executor_resident_ended_total{reason="protocol"} 1`,
	}},
	{"ParseFailed", events.ParseFailed{At: at3, Policy: "dlq"}, []string{`drakkar_parse_errors_total{policy="dlq"} 1`}},
	{"Paused", events.Paused{At: at3}, []string{"drakkar_backpressure_active 1"}},
	{"PeriodicRun", events.PeriodicRun{Task: "sync", Took: time.Second}, []string{
		`drakkar_periodic_task_duration_seconds_count{name="sync"} 1`,
		`drakkar_periodic_task_duration_seconds_sum{name="sync"} 1`,
		`drakkar_periodic_task_runs_total{name="sync",status="ok"} 1`,
	}},
	{"PeriodicRunError", events.PeriodicRun{Task: "sync", Err: errTest}, []string{
		`drakkar_periodic_task_duration_seconds_count{name="sync"} 1`,
		`drakkar_periodic_task_duration_seconds_sum{name="sync"} 0`,
		`drakkar_periodic_task_runs_total{name="sync",status="error"} 1`,
	}},
	{"RecorderPanicked", events.RecorderPanicked{Event: "produced"}, []string{"drakkar_event_recorder_panics_total 1"}},
	{"PoolState", events.PoolState{Slots: 4, Active: 3, Waiting: 2}, []string{
		"drakkar_executor_pool_active 3",
		"drakkar_executor_pool_slots 4",
		"drakkar_executor_pool_waiting 2",
	}},
	{"QueueDepth", events.QueueDepth{Messages: 5, Bytes: 500, OpenWindows: 2, PerPartition: []events.PartitionDepth{
		{Topic: "in", Partition: 3, Messages: 5, Uncommitted: 9, Lag: 70, OldestWindow: time.Minute},
		{Topic: "in", Partition: 4, Lag: -1},
	}}, []string{
		`drakkar_consumer_lag{partition="3",topic="in"} 70`,
		`drakkar_offset_lag{partition="3",topic="in"} 9`,
		`drakkar_offset_lag{partition="4",topic="in"} 0`,
		`drakkar_oldest_open_window_age_seconds{partition="3",topic="in"} 60`,
		`drakkar_oldest_open_window_age_seconds{partition="4",topic="in"} 0`,
		"drakkar_open_windows 2",
		`drakkar_partition_queue_size{partition="3",topic="in"} 5`,
		`drakkar_partition_queue_size{partition="4",topic="in"} 0`,
		"drakkar_queued_bytes 500",
		"drakkar_total_queued 5",
	}},
	{"Resumed", events.Resumed{At: at3}, nil},
	{"Revoked", events.Revoked{Topic: "in", Partitions: []int32{3}}, []string{`drakkar_rebalance_events_total{type="revoke"} 1`}},
	{"RevokedLost", events.Revoked{Topic: "in", Partitions: []int32{3, 4}, Lost: true}, []string{
		"drakkar_partitions_lost_total 2",
		`drakkar_rebalance_events_total{type="revoke"} 1`,
	}},
	{"SinkDelivered", events.SinkDelivered{Sink: sinkKafka, Payloads: 12, Took: time.Second}, []string{
		`drakkar_sink_deliver_duration_seconds_count{sink_name="results",sink_type="kafka"} 1`,
		`drakkar_sink_deliver_duration_seconds_sum{sink_name="results",sink_type="kafka"} 1`,
		`drakkar_sink_payloads_delivered_total{sink_name="results",sink_type="kafka"} 12`,
	}},
	{"SinkError", events.SinkError{Sink: sinkKafka, Class: "transient", Payloads: 3, Err: errTest}, []string{
		`drakkar_sink_deliver_errors_total{sink_name="results",sink_type="kafka"} 1`,
		`drakkar_sink_payloads_refused_total{class="transient",sink_name="results",sink_type="kafka"} 3`,
	}},
	{"SinkRetry", events.SinkRetry{Sink: sinkKafka, Payloads: 3}, []string{
		`drakkar_sink_delivery_retries_total{sink_name="results",sink_type="kafka"} 1`,
	}},
	{"SinkSkipped", events.SinkSkipped{Sink: sinkKafka, Payloads: 3}, []string{
		`drakkar_sink_deliveries_skipped_total{sink_name="results",sink_type="kafka"} 1`,
	}},
	{"TaskCompleted", events.TaskCompleted{Result: drakkar.Result{Duration: 3 * time.Second}, Active: 1}, []string{
		"drakkar_executor_duration_seconds_count 1",
		"drakkar_executor_duration_seconds_sum 3",
		"drakkar_executor_pool_active 1",
		`drakkar_executor_tasks_total{status="completed"} 1`,
	}},
	{"TaskCompletedPrecomputed", events.TaskCompleted{Result: drakkar.Result{Duration: 3 * time.Second}, Precomputed: true}, []string{
		`drakkar_executor_tasks_total{status="completed"} 1`,
	}},
	{"TaskFailed", events.TaskFailed{Error: errTask, Action: "retry", Waiting: 2}, []string{
		"drakkar_executor_failed_duration_seconds_count 1",
		"drakkar_executor_failed_duration_seconds_sum 2",
		"drakkar_executor_pool_waiting 2",
		`drakkar_executor_tasks_total{status="failed"} 1`,
		"drakkar_executor_timeouts_total 1",
		"drakkar_task_retries_total 1",
	}},
	{"TaskFailedPrecomputed", events.TaskFailed{Action: "skip", Precomputed: true}, []string{
		`drakkar_executor_tasks_total{status="failed"} 1`,
	}},
	{"TaskStarted", events.TaskStarted{Waited: time.Second, Active: 1, Waiting: 6}, []string{
		"drakkar_executor_pool_active 1",
		"drakkar_executor_pool_waiting 6",
		"drakkar_executor_slot_wait_seconds_count 1",
		"drakkar_executor_slot_wait_seconds_sum 1",
		`drakkar_executor_tasks_total{status="started"} 1`,
	}},
	{"TaskStartedPrecomputed", events.TaskStarted{Slot: -1, Precomputed: true}, []string{
		`drakkar_executor_tasks_total{status="started"} 1`,
		"drakkar_tasks_precomputed_total 1",
	}},
	{"WindowFinished", events.WindowFinished{Messages: 50, Tasks: 2, Took: time.Second}, []string{
		"drakkar_batch_duration_seconds_count 1",
		"drakkar_batch_duration_seconds_sum 1",
		"drakkar_messages_finished_total 50",
		"drakkar_window_duration_seconds_count 1",
		"drakkar_window_duration_seconds_sum 1",
		"drakkar_windows_finished_total 1",
	}},
	{"WindowFinishedWithoutTasks", events.WindowFinished{Messages: 1, Took: time.Second}, []string{
		"drakkar_messages_finished_total 1",
		"drakkar_window_duration_seconds_count 1",
		"drakkar_window_duration_seconds_sum 1",
		"drakkar_windows_finished_total 1",
	}},
	{"WindowDeadLettered", events.WindowDeadLettered{At: at3}, []string{"drakkar_windows_dead_lettered_total 1"}},
	{"WindowOverdue", events.WindowOverdue{At: at3, Age: time.Hour}, []string{"drakkar_windows_overdue_total 1"}},
	{"WorkflowTaskFailed", events.WorkflowTaskFailed{Workflow: "w", Reason: "r"}, []string{`drakkar_workflow_task_failures_total{reason="r",workflow="w"} 1`}},
	{"WindowReread", events.WindowReread{At: at3, Messages: 7, Gone: 3}, []string{
		"drakkar_window_messages_gone_total 3",
		"drakkar_windows_reread_total 1",
	}},
	{"WindowRerun", events.WindowRerun{At: at3, Run: 1}, []string{"drakkar_windows_rerun_total 1"}},
	{"WindowStarted", events.WindowStarted{At: at3, Took: time.Second}, []string{
		"drakkar_window_start_duration_seconds_count 1",
		"drakkar_window_start_duration_seconds_sum 1",
		"drakkar_windows_started_total 1",
	}},
	{"WindowStartedAdopted", events.WindowStarted{At: at3, Adopted: true}, []string{"drakkar_windows_adopted_total 1"}},
}

// unmoved are the events that move nothing, with the reason.
var unmoved = map[string]string{
	"Arranged":        "the arrange hook is counted and timed by HookRan",
	"MessageComplete": "the hook is counted and timed by HookRan, its message by WindowFinished",
	"Produced":        "payloads are counted by SinkDelivered",
	"TaskComplete":    "the hook is counted and timed by HookRan",
	"WindowComplete":  "the hook is counted and timed by HookRan",
}
