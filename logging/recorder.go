package logging

import (
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/drakkar-go/drakkar/events"
)

// stderrExcerpt is how much of a failed task's stderr a line holds. The end of
// it is kept, where programs say why they gave up.
const stderrExcerpt = 2 << 10

// Categories of lines, those of the Python product.
const (
	categoryExecutor  = "executor"
	categoryHandler   = "handler"
	categoryKafka     = "kafka"
	categoryPartition = "partition"
	categoryPeriodic  = "periodic"
	categorySink      = "sink"
)

// NewRecorder returns a Recorder that writes one line for each event worth
// one: at debug what happens to every message when all is well, at info what
// happens to partitions, at warn what went wrong and is dealt with, at error
// what an operator has to look at. Readings (queue_depth, pool_state) have no
// lines.
//
// Tasks that succeed and ran at least slowTask are written at info; 0 does so
// for all of them.
func NewRecorder(log *zap.Logger, slowTask time.Duration) events.Recorder {
	return &recorder{log: log, slowTask: slowTask}
}

type recorder struct {
	log      *zap.Logger
	slowTask time.Duration
}

// Record implements events.Recorder. What only debug shows comes last and
// behind one check, because it comes with every message.
func (r *recorder) Record(e events.Event) {
	if r.rebalance(e) || r.reading(e) || r.window(e) || r.handler(e) || r.task(e) || r.delivery(e) || r.deadLetter(e) {
		return
	}
	if r.log.Core().Enabled(zap.DebugLevel) {
		r.debug(e)
	}
}

// line writes one line about e.
func (r *recorder) line(level zapcore.Level, category, message string, e events.Event, fields ...zap.Field) {
	ce := r.log.Check(level, message)
	if ce == nil {
		return
	}
	ce.Write(append(fields, zap.String(fieldEvent, e.EventName()), zap.String(fieldCategory, category))...)
}

// at are the fields of a place in the source.
func at(a events.At, more ...zap.Field) []zap.Field {
	return append([]zap.Field{
		zap.String("topic", a.Topic),
		zap.Int32("partition", a.Partition),
		zap.Int64("offset", a.Offset),
	}, more...)
}

// sink are the fields of a sink's instance.
func sink(s events.Sink, more ...zap.Field) []zap.Field {
	return append([]zap.Field{
		zap.String("sink_type", s.Type),
		zap.String("sink_name", s.Name),
	}, more...)
}

// excerpt is the end of a program's stderr.
func excerpt(stderr []byte) string {
	cut := len(stderr) > stderrExcerpt
	if cut {
		stderr = stderr[len(stderr)-stderrExcerpt:]
	}
	text := strings.TrimSpace(strings.ToValidUTF8(string(stderr), "\uFFFD"))
	if cut {
		text = "…" + text
	}
	return text
}
