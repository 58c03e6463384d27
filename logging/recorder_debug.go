package logging

import (
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/events"
)

// debug writes what happens to every message when all is well.
func (r *recorder) debug(e events.Event) {
	r.debugIngest(e)
	r.debugHandler(e)
	r.debugExecutor(e)
}

func (r *recorder) debugIngest(e events.Event) {
	switch e := e.(type) {
	case events.Consumed:
		r.line(zap.DebugLevel, categoryKafka, "message read", e, at(e.At, zap.Int("bytes", e.Bytes))...)
	case events.Committed:
		r.line(zap.DebugLevel, categoryKafka, "offset committed", e, at(e.At, zap.Duration(fieldTook, e.Took))...)
	case events.Paused:
		r.line(zap.DebugLevel, categoryKafka, "partition paused, too much is queued", e, at(e.At)...)
	case events.Resumed:
		r.line(zap.DebugLevel, categoryKafka, "partition resumed", e, at(e.At)...)
	case events.WindowStarted:
		r.line(zap.DebugLevel, categoryPartition, "window started", e, windowStarted(e)...)
	case events.WindowFinished:
		r.line(zap.DebugLevel, categoryPartition, "window finished", e, windowFinished(e)...)
	}
}

func (r *recorder) debugHandler(e events.Event) {
	switch e := e.(type) {
	case events.Arranged:
		r.line(zap.DebugLevel, categoryHandler, "window arranged", e,
			at(e.At, zap.String("workflow", e.Workflow), zap.Int("messages", e.Messages), zap.Int("tasks", e.Tasks),
				zap.Duration(fieldTook, e.Took))...)
	case events.HookRan:
		r.line(zap.DebugLevel, categoryHandler, "hook ran", e, hookRan(e)...)
	case events.TaskComplete:
		r.line(zap.DebugLevel, categoryHandler, "outputs of a task collected", e,
			at(e.At, zap.String("task_id", e.TaskID), zap.Int("outputs", e.Outputs), zap.Duration(fieldTook, e.Took))...)
	case events.MessageComplete:
		r.line(zap.DebugLevel, categoryHandler, "outputs of a message collected", e,
			at(e.At, zap.Int("tasks", e.Tasks), zap.Int("succeeded", e.Succeeded), zap.Int("failed", e.Failed),
				zap.Int("replaced", e.Replaced), zap.Int("outputs", e.Outputs), zap.Duration(fieldTook, e.Took))...)
	case events.WindowComplete:
		r.line(zap.DebugLevel, categoryHandler, "outputs of a window collected", e,
			at(e.At, zap.String("workflow", e.Workflow), zap.Int("tasks", e.Tasks), zap.Int("outputs", e.Outputs),
				zap.Duration(fieldTook, e.Took))...)
	case events.Annotated:
		r.line(zap.DebugLevel, categoryHandler, "annotation", e, append(annotated(e), zap.Any("data", e.Data))...)
	case events.RecorderPanicked:
		r.line(zap.DebugLevel, categoryHandler, "the program's own recorder of events panicked", e, recorderPanicked(e)...)
	case events.PeriodicRun:
		r.line(zap.DebugLevel, categoryPeriodic, "periodic ran", e, periodicRun(e)...)
	}
}

func (r *recorder) debugExecutor(e events.Event) {
	switch e := e.(type) {
	case events.TaskStarted:
		r.line(zap.DebugLevel, categoryExecutor, "task started", e,
			at(e.At, zap.String("task_id", e.Task.ID), zap.Int("attempt", e.Attempt), zap.Int("slot", e.Slot),
				zap.Duration("waited", e.Waited), zap.Bool("precomputed", e.Precomputed))...)
	case events.TaskCompleted:
		r.line(zap.DebugLevel, categoryExecutor, "task succeeded", e, taskCompleted(e)...)
	case events.ResidentStarted:
		r.line(zap.DebugLevel, categoryExecutor, "resident program is ready", e,
			zap.Int("pid", e.PID), zap.String("binary", e.Binary), zap.Duration(fieldTook, e.Took))
	case events.ResidentEnded:
		r.line(zap.DebugLevel, categoryExecutor, "resident program ended", e, residentEnded(e)...)
	case events.Produced:
		r.line(zap.DebugLevel, categorySink, "payload arrived", e,
			at(e.At, sink(e.Sink, zap.String("id", e.ID), zap.String("target", e.Target))...)...)
	case events.SinkDelivered:
		r.line(zap.DebugLevel, categorySink, "batch delivered", e,
			sink(e.Sink, zap.Int("payloads", e.Payloads), zap.Duration(fieldTook, e.Took))...)
	}
}

func windowFinished(e events.WindowFinished) []zap.Field {
	return at(e.At,
		zap.String("workflow", e.Workflow),
		zap.Int64("last", e.Last),
		zap.Int("messages", e.Messages),
		zap.Int("tasks", e.Tasks),
		zap.Int("failed", e.Failed),
		zap.Int("delivered", e.Delivered),
		zap.Int("dead_lettered", e.DeadLettered),
		zap.Int("skipped", e.Skipped),
		zap.Duration(fieldTook, e.Took),
	)
}
