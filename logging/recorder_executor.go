package logging

import (
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/events"
)

// handler writes about the handler's own code.
func (r *recorder) handler(e events.Event) bool {
	switch e := e.(type) {
	case events.ParseFailed:
		r.line(zap.WarnLevel, categoryHandler, "message could not be decoded", e,
			at(e.At, zap.String("policy", e.Policy), zap.Error(e.Err))...)
	case events.HookRan:
		if e.Err == nil {
			return false
		}
		r.line(zap.WarnLevel, categoryHandler, "hook failed", e, hookRan(e)...)
	case events.Annotated:
		if !e.Dropped {
			return false
		}
		r.line(zap.WarnLevel, categoryHandler, "annotation is too large and was dropped", e, annotated(e)...)
	case events.RecorderPanicked:
		if e.Stack == "" {
			return false
		}
		r.line(zap.ErrorLevel, categoryHandler, "the program's own recorder of events panicked; further panics are only counted", e,
			recorderPanicked(e)...)
	case events.PeriodicRun:
		return r.periodic(e)
	default:
		return false
	}
	return true
}

func (r *recorder) periodic(e events.PeriodicRun) bool {
	switch {
	case e.Err == nil:
		return false
	case e.Stopped:
		r.line(zap.ErrorLevel, categoryPeriodic, "periodic failed and does not run again", e, periodicRun(e)...)
	default:
		r.line(zap.WarnLevel, categoryPeriodic, "periodic failed", e, periodicRun(e)...)
	}
	return true
}

// task writes about tasks that were slow or failed.
func (r *recorder) task(e events.Event) bool {
	switch e := e.(type) {
	case events.TaskCompleted:
		if e.Precomputed || e.Result.Duration < r.slowTask {
			return false
		}
		r.line(zap.InfoLevel, categoryExecutor, "slow task", e, taskCompleted(e)...)
	case events.TaskFailed:
		r.line(zap.WarnLevel, categoryExecutor, "task failed", e, taskFailed(e)...)
	case events.OrphanKilled:
		r.line(zap.WarnLevel, categoryExecutor, "process that had left its task's process group ended", e,
			zap.Int("pid", e.PID))
	case events.ResidentEnded:
		if e.Detail == "" {
			return false
		}
		r.line(zap.WarnLevel, categoryExecutor, "resident program ended unasked, or had to be", e, residentEnded(e)...)
	default:
		return false
	}
	return true
}

func residentEnded(e events.ResidentEnded) []zap.Field {
	fields := []zap.Field{
		zap.Int("pid", e.PID), zap.String("binary", e.Binary), zap.String("reason", e.Reason), zap.Int("tasks", e.Tasks),
		zap.Duration("lived", e.Lived), zap.Int64("unclaimed_stderr_bytes", e.Unclaimed),
	}
	if e.Detail != "" {
		fields = append(fields, zap.String(fieldError, e.Detail))
	}
	return fields
}

func hookRan(e events.HookRan) []zap.Field {
	fields := at(e.At, zap.String("hook", e.Hook), zap.Duration(fieldTook, e.Took))
	if e.TaskID != "" {
		fields = append(fields, zap.String("task_id", e.TaskID))
	}
	if e.Err != nil {
		fields = append(fields, zap.Error(e.Err))
	}
	return fields
}

func annotated(e events.Annotated) []zap.Field {
	s := e.Scope
	fields := at(events.At{Topic: s.Topic, Partition: s.Partition, Offset: s.Offset},
		zap.String("hook", s.Hook), zap.String("kind", e.Kind))
	if s.TaskID != "" {
		fields = append(fields, zap.String("task_id", s.TaskID))
	}
	return fields
}

func recorderPanicked(e events.RecorderPanicked) []zap.Field {
	return []zap.Field{
		zap.String("recorded_event", e.Event), zap.String(fieldError, e.Value), zap.String("error.stack_trace", e.Stack),
	}
}

func periodicRun(e events.PeriodicRun) []zap.Field {
	fields := []zap.Field{zap.String("periodic", e.Task), zap.Duration(fieldTook, e.Took)}
	if e.Err != nil {
		fields = append(fields, zap.Error(e.Err))
	}
	return fields
}

func taskCompleted(e events.TaskCompleted) []zap.Field {
	return at(e.At,
		zap.String("task_id", e.Result.Task.ID),
		zap.Int("attempt", e.Result.Attempt),
		zap.Int("exit_code", e.Result.ExitCode),
		zap.Bool("precomputed", e.Precomputed),
		zap.Duration(fieldTook, e.Result.Duration),
	)
}

func taskFailed(e events.TaskFailed) []zap.Field {
	result := e.Error.Result
	return at(e.At,
		zap.String("task_id", result.Task.ID),
		zap.Int("attempt", result.Attempt),
		zap.String("kind", string(e.Error.Kind)),
		zap.String("action", e.Action),
		zap.Int("exit_code", result.ExitCode),
		zap.Int("pid", result.PID),
		zap.String("stderr", excerpt(result.Stderr)),
		zap.Duration(fieldTook, result.Duration),
		zap.String(fieldError, e.Error.Message),
	)
}
