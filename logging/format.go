package logging

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Names of fields that are more than labels; see ecsNames.
const (
	fieldCategory = "category" // which part of Drakkar the line is about
	fieldEvent    = "event"    // EventName of the event
	fieldTook     = "took"     // how long it took
	fieldError    = "error"    // as zap.Error names it
)

const (
	// ecsVersion is the version of the schema whose names are used.
	ecsVersion  = "8.17.0"
	serviceName = "drakkar"
)

// newECSCore writes JSON lines with the names of the Elastic Common Schema.
func newECSCore(out zapcore.WriteSyncer, level zapcore.Level, id Identity) zapcore.Core {
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey:        "@timestamp",
		LevelKey:       "log.level",
		NameKey:        "log.logger",
		MessageKey:     "message",
		StacktraceKey:  "error.stack_trace",
		EncodeTime:     encodeUTC,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	})
	fields := []zap.Field{zap.String("ecs.version", ecsVersion), zap.String("service.name", serviceName)}
	for _, f := range []struct{ key, value string }{
		{"service.version", id.Version},
		{"service.node.name", id.Worker},
		{"labels.cluster", id.Cluster},
		{"labels.role", id.Role},
		{"labels.consumer_group", id.Group},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.key, f.value))
		}
	}
	core := zapcore.NewCore(encoder, out, level)
	return renamer{Core: core.With(fields), rename: ecsField}
}

// newConsoleCore writes lines for people. Of the identity it shows the
// worker's name, for terminals that several processes share.
func newConsoleCore(out zapcore.WriteSyncer, level zapcore.Level, id Identity) zapcore.Core {
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
		TimeKey:          "time",
		LevelKey:         "level",
		NameKey:          "logger",
		MessageKey:       "message",
		StacktraceKey:    "stacktrace",
		EncodeTime:       zapcore.TimeEncoderOfLayout("2006-01-02 15:04:05.000"),
		EncodeLevel:      zapcore.CapitalLevelEncoder,
		EncodeDuration:   zapcore.StringDurationEncoder,
		ConsoleSeparator: "  ",
	})
	var core zapcore.Core = renamer{Core: zapcore.NewCore(encoder, out, level), rename: consoleField}
	if id.Worker != "" {
		core = core.With([]zap.Field{zap.String("worker", id.Worker)})
	}
	return core
}

// encodeUTC makes the times of lines comparable between hosts.
func encodeUTC(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000000Z"))
}

// ecsField gives a field its name in the schema. Fields the schema does not
// know, a handler's own among them, are labels: a plain name could meet one of
// the schema that has another type, and a log store would refuse the line.
func ecsField(f zap.Field) zap.Field {
	switch {
	case strings.Contains(f.Key, "."):
		return f // a name of the schema already
	case f.Key == fieldError && f.Type == zapcore.ErrorType:
		err, _ := f.Interface.(error)
		return zap.Stringer("error.message", errorText{err})
	case f.Key == fieldError && f.Type == zapcore.StringType:
		return zap.String("error.message", f.String)
	case f.Key == fieldTook && f.Type == zapcore.DurationType:
		return zap.Int64("event.duration", f.Integer) // nanoseconds
	case f.Key == fieldEvent && f.Type == zapcore.StringType:
		return zap.String("event.action", f.String)
	case f.Key == fieldCategory && f.Type == zapcore.StringType:
		return zap.String("event.dataset", serviceName+"."+f.String)
	}
	f.Key = "labels." + f.Key
	return f
}

// errorText is an error whose text is asked for when the line is written.
type errorText struct{ err error }

// String implements fmt.Stringer.
func (e errorText) String() string { return e.err.Error() }

// consoleField leaves out what people do not read.
func consoleField(f zap.Field) zap.Field {
	if f.Key == fieldCategory {
		return zap.Skip()
	}
	return f
}

// renamer hands every field through rename before it is written.
type renamer struct {
	zapcore.Core
	rename func(zap.Field) zap.Field
	// inside is set when a zap.Namespace was opened: what follows is nested
	// and keeps its name.
	inside bool
}

// With implements zapcore.Core.
func (r renamer) With(fields []zap.Field) zapcore.Core {
	renamed, inside := r.renameAll(fields)
	return renamer{Core: r.Core.With(renamed), rename: r.rename, inside: inside}
}

// Check implements zapcore.Core.
func (r renamer) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if r.Enabled(e.Level) {
		return ce.AddCore(e, r)
	}
	return ce
}

// Write implements zapcore.Core.
func (r renamer) Write(e zapcore.Entry, fields []zap.Field) error {
	renamed, _ := r.renameAll(fields)
	if err := r.Core.Write(e, renamed); err != nil {
		return fmt.Errorf("writing a log line: %w", err)
	}
	return nil
}

func (r renamer) renameAll(fields []zap.Field) (renamed []zap.Field, inside bool) {
	renamed, inside = slices.Clone(fields), r.inside
	for i, f := range renamed {
		if !inside {
			renamed[i] = r.rename(f)
		}
		inside = inside || f.Type == zapcore.NamespaceType
	}
	return renamed, inside
}
