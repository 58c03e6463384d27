package logging

import (
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/events"
)

// rebalance writes about partitions that come and go.
func (r *recorder) rebalance(e events.Event) bool {
	switch e := e.(type) {
	case events.Assigned:
		r.line(zap.InfoLevel, categoryKafka, "partitions assigned", e,
			zap.String("topic", e.Topic), zap.Int32s("partitions", e.Partitions))
	case events.Revoked:
		level, message := zap.InfoLevel, "partitions revoked"
		if e.Lost {
			level, message = zap.WarnLevel, "partitions lost: the broker gave them away before they could be committed"
		}
		r.line(level, categoryKafka, message, e,
			zap.String("topic", e.Topic), zap.Int32s("partitions", e.Partitions), zap.Bool("lost", e.Lost))
	case events.AssignmentReady:
		fields := at(e.At, zap.String("epoch", e.Epoch), zap.Int("adopted", e.Adopted), zap.Duration(fieldTook, e.Took))
		if e.NewEpoch != "" {
			fields = append(fields, zap.String("new_epoch", e.NewEpoch))
		}
		r.line(zap.InfoLevel, categoryPartition, "reading of a partition begins", e, fields...)
	default:
		return false
	}
	return true
}

// reading writes about what goes wrong with Kafka and Temporal.
func (r *recorder) reading(e events.Event) bool {
	switch e := e.(type) {
	case events.CommitFailed:
		r.line(zap.WarnLevel, categoryKafka, "offset not committed, it is committed again", e,
			at(e.At, zap.Error(e.Err))...)
	case events.ConsumerError:
		level, message := zap.WarnLevel, "the Kafka client reported an error and goes on"
		if e.Fatal {
			level, message = zap.ErrorLevel, "the Kafka client failed for good"
		}
		r.line(level, categoryKafka, message, e, zap.Error(e.Err), zap.Bool("fatal", e.Fatal))
	case events.OffsetsSkipped:
		r.line(zap.ErrorLevel, categoryKafka, "messages are lost: the topic removed them before they were read", e,
			at(e.At, zap.Int64("next", e.Next), zap.Int64("skipped", e.Next-e.Offset), zap.String("because", e.Because))...)
	case events.IngestFailed:
		level, message := zap.WarnLevel, "a step of ingest failed and is repeated"
		if e.Stuck {
			level, message = zap.ErrorLevel, "a step of ingest failed and the partition waits for someone to act"
		}
		r.line(level, categoryPartition, message, e, ingestFailed(e)...)
	default:
		return false
	}
	return true
}

func ingestFailed(e events.IngestFailed) []zap.Field {
	fields := []zap.Field{zap.String("doing", e.Doing), zap.Error(e.Err)}
	if e.Partition >= 0 {
		fields = at(e.At, fields...)
	}
	if e.Workflow != "" {
		fields = append(fields, zap.String("workflow", e.Workflow))
	}
	return fields
}

// window writes about windows that took another course than the usual one.
func (r *recorder) window(e events.Event) bool {
	switch e := e.(type) {
	case events.WindowStarted:
		return r.adopted(e)
	case events.WindowRerun:
		r.line(zap.WarnLevel, categoryPartition, "window was terminated or failed and is run again", e,
			at(e.At, zap.String("workflow", e.Workflow), zap.String("reason", e.Reason), zap.Int("run", e.Run))...)
	case events.WindowReread:
		r.reread(e)
	case events.OldWindowsCancelled:
		r.line(zap.WarnLevel, categoryPartition, "windows of former epochs were ended", e,
			at(e.At, zap.String("epoch", e.Epoch), zap.Int("windows", e.Windows))...)
	case events.WindowDeadLettered:
		r.line(zap.ErrorLevel, categoryPartition, "what is left of a window goes to the dead letter queue", e,
			at(e.At, zap.String("workflow", e.Workflow), zap.Int64("last", e.Last), zap.String("reason", e.Reason))...)
	case events.WorkflowTaskFailed:
		r.line(zap.ErrorLevel, categoryPartition, "a step of a workflow could not be made and is tried again", e,
			zap.String("workflow_type", e.Workflow), zap.String("reason", e.Reason))
	case events.WindowOverdue:
		r.line(zap.ErrorLevel, categoryPartition, "window is open for longer than windows.max_age", e,
			at(e.At, zap.String("workflow", e.Workflow), zap.Int64("last", e.Last), zap.Duration("age", e.Age))...)
	default:
		return false
	}
	return true
}

func (r *recorder) reread(e events.WindowReread) {
	level, message := zap.WarnLevel, "window was gone from Temporal and is started again"
	if e.Gone > 0 {
		level, message = zap.ErrorLevel, "window was gone from Temporal, and the topic does not hold all of its messages any more"
	}
	r.line(level, categoryPartition, message, e, at(e.At, zap.String("workflow", e.Workflow), zap.Int64("last", e.Last),
		zap.Int("messages", e.Messages), zap.Int("gone", e.Gone), zap.Duration(fieldTook, e.Took))...)
}

func (r *recorder) adopted(e events.WindowStarted) bool {
	if !e.Adopted {
		return false
	}
	r.line(zap.WarnLevel, categoryPartition, "window of another owner taken over", e, windowStarted(e)...)
	return true
}

func windowStarted(e events.WindowStarted) []zap.Field {
	return at(e.At, zap.String("workflow", e.Workflow), zap.Int64("last", e.Last), zap.Int("messages", e.Messages),
		zap.Int("bytes", e.Bytes), zap.Duration(fieldTook, e.Took))
}
