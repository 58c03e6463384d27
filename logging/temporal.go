package logging

import (
	"fmt"

	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
)

var (
	_ log.Logger     = temporalLogger{}
	_ log.WithLogger = temporalLogger{}
)

// Temporal returns a logger for the Temporal SDK which writes to l.
func Temporal(l *zap.Logger) log.Logger {
	return temporalLogger{l.With(zap.String(fieldCategory, "temporal"))}
}

type temporalLogger struct{ zap *zap.Logger }

// Debug implements log.Logger.
func (t temporalLogger) Debug(msg string, keyvals ...any) { t.zap.Debug(msg, fields(keyvals)...) }

// Info implements log.Logger.
func (t temporalLogger) Info(msg string, keyvals ...any) { t.zap.Info(msg, fields(keyvals)...) }

// Warn implements log.Logger.
func (t temporalLogger) Warn(msg string, keyvals ...any) { t.zap.Warn(msg, fields(keyvals)...) }

// Error implements log.Logger.
func (t temporalLogger) Error(msg string, keyvals ...any) { t.zap.Error(msg, fields(keyvals)...) }

// With implements log.WithLogger.
func (t temporalLogger) With(keyvals ...any) log.Logger {
	return temporalLogger{t.zap.With(fields(keyvals)...)}
}

// fields turns the SDK's alternating keys and values into fields. The SDK puts
// errors under the key Error, or under any other.
func fields(keyvals []any) []zap.Field {
	out := make([]zap.Field, 0, (len(keyvals)+1)/2)
	for i := 0; i+1 < len(keyvals); i += 2 {
		key, ok := keyvals[i].(string)
		if !ok {
			key = fmt.Sprint(keyvals[i])
		}
		if key == "Error" {
			key = fieldError
		}
		out = append(out, zap.Any(key, keyvals[i+1]))
	}
	if len(keyvals)%2 == 1 {
		out = append(out, zap.Any("value", keyvals[len(keyvals)-1]))
	}
	return out
}
