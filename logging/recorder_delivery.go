package logging

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/drakkar-go/drakkar/events"
)

// delivery writes about sinks that did not take what they were given. That a
// breaker holds payloads back is told once, when it opens: while a sink is away
// for hours, every open window asks again and again.
func (r *recorder) delivery(e events.Event) bool {
	switch e := e.(type) {
	case events.SinkError:
		r.line(unless(e.Attempt == 0), categorySink, "sink refused payloads", e,
			sink(e.Sink, zap.String("class", e.Class), zap.Int("payloads", e.Payloads), zap.Int("attempt", e.Attempt), zap.Error(e.Err))...)
	case events.SinkRetry:
		r.line(unless(e.Held), categorySink, "payloads are delivered again after a pause", e,
			sink(e.Sink, zap.Int("payloads", e.Payloads), zap.Duration("after", e.After))...)
	case events.SinkSkipped:
		r.line(zap.WarnLevel, categorySink, "on_delivery_error dropped payloads", e,
			sink(e.Sink, zap.Int("payloads", e.Payloads), zap.Error(e.Err))...)
	case events.BreakerChanged:
		level, message := zap.InfoLevel, "circuit breaker of a sink changed"
		if e.State == "open" {
			level, message = zap.WarnLevel, "circuit breaker of a sink opened"
		}
		r.line(level, categorySink, message, e, sink(e.Sink, zap.String("state", e.State))...)
	default:
		return false
	}
	return true
}

// deadLetter writes about the dead letter queue.
func (r *recorder) deadLetter(e events.Event) bool {
	switch e := e.(type) {
	case events.DeadLettered:
		fields := at(e.At, zap.String("id", e.ID), zap.String("class", e.Class), zap.String(fieldError, e.Err))
		if e.Sink != (events.Sink{}) {
			fields = append(fields, sink(e.Sink)...)
		}
		r.line(zap.WarnLevel, categorySink, "written to the dead letter queue", e, fields...)
	case events.DLQFailed:
		r.line(zap.ErrorLevel, categorySink, "dead letter queue did not accept entries, offsets wait for it", e,
			zap.Int("entries", e.Entries), zap.Int("attempt", e.Attempt), zap.Error(e.Err))
	default:
		return false
	}
	return true
}

// unless is the level of a warning, but for payloads that a breaker held back.
func unless(held bool) zapcore.Level {
	if held {
		return zap.DebugLevel
	}
	return zap.WarnLevel
}
