package events

// EventName implements Event.
func (Consumed) EventName() string { return "consumed" }

// EventName implements Event.
func (Assigned) EventName() string { return "assigned" }

// EventName implements Event.
func (Revoked) EventName() string { return "revoked" }

// EventName implements Event.
func (AssignmentReady) EventName() string { return "assignment_ready" }

// EventName implements Event.
func (WindowStarted) EventName() string { return "window_started" }

// EventName implements Event.
func (WindowFinished) EventName() string { return "window_finished" }

// EventName implements Event.
func (WindowRerun) EventName() string { return "window_rerun" }

// EventName implements Event.
func (WindowReread) EventName() string { return "window_reread" }

// EventName implements Event.
func (WindowDeadLettered) EventName() string { return "window_dead_lettered" }

// EventName implements Event.
func (WorkflowTaskFailed) EventName() string { return "workflow_task_failed" }

// EventName implements Event.
func (WindowOverdue) EventName() string { return "window_overdue" }

// EventName implements Event.
func (OldWindowsCancelled) EventName() string { return "old_windows_cancelled" }

// EventName implements Event.
func (Committed) EventName() string { return "committed" }

// EventName implements Event.
func (CommitFailed) EventName() string { return "commit_failed" }

// EventName implements Event.
func (Paused) EventName() string { return "paused" }

// EventName implements Event.
func (Resumed) EventName() string { return "resumed" }

// EventName implements Event.
func (ConsumerError) EventName() string { return "consumer_error" }

// EventName implements Event.
func (OffsetsSkipped) EventName() string { return "offsets_skipped" }

// EventName implements Event.
func (IngestFailed) EventName() string { return "ingest_failed" }

// EventName implements Event.
func (QueueDepth) EventName() string { return "queue_depth" }

// EventName implements Event.
func (ParseFailed) EventName() string { return "parse_failed" }

// EventName implements Event.
func (Arranged) EventName() string { return "arranged" }

// EventName implements Event.
func (HookRan) EventName() string { return "hook_ran" }

// EventName implements Event.
func (TaskComplete) EventName() string { return "task_complete" }

// EventName implements Event.
func (MessageComplete) EventName() string { return "message_complete" }

// EventName implements Event.
func (WindowComplete) EventName() string { return "window_complete" }

// EventName implements Event.
func (Annotated) EventName() string { return "annotation" }

// EventName implements Event.
func (TaskStarted) EventName() string { return "task_started" }

// EventName implements Event.
func (TaskCompleted) EventName() string { return "task_completed" }

// EventName implements Event.
func (TaskFailed) EventName() string { return "task_failed" }

// EventName implements Event.
func (OrphanKilled) EventName() string { return "orphan_killed" }

// EventName implements Event.
func (ResidentStarted) EventName() string { return "resident_started" }

// EventName implements Event.
func (ResidentEnded) EventName() string { return "resident_ended" }

// EventName implements Event.
func (Produced) EventName() string { return "produced" }

// EventName implements Event.
func (SinkDelivered) EventName() string { return "sink_delivered" }

// EventName implements Event.
func (SinkError) EventName() string { return "sink_error" }

// EventName implements Event.
func (SinkRetry) EventName() string { return "sink_retry" }

// EventName implements Event.
func (SinkSkipped) EventName() string { return "sink_skipped" }

// EventName implements Event.
func (BreakerChanged) EventName() string { return "breaker_changed" }

// EventName implements Event.
func (DeadLettered) EventName() string { return "dead_lettered" }

// EventName implements Event.
func (DLQFailed) EventName() string { return "dlq_failed" }

// EventName implements Event.
func (PeriodicRun) EventName() string { return "periodic_run" }

// EventName implements Event.
func (PoolState) EventName() string { return "pool_state" }

// EventName implements Event.
func (RecorderPanicked) EventName() string { return "recorder_panicked" }
