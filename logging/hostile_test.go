package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// forged is what an attacker puts into a message in order to write lines of
// his own, or to move the cursor of whoever reads them.
const forged = "a\"}\n{\"log.level\":\"error\",\"message\":\"forged\"}\r\n\x1b[2J\x00\u2028\xff end"

// poison puts a text into every text, list and error of an event.
func poison(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				poison(v.Field(i), text)
			}
		}
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(text))
		}
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[error]() {
			v.Set(reflect.ValueOf(errors.New(text)))
		}
	}
}

func poisoned(e events.Event, text string) events.Event {
	v := reflect.New(reflect.TypeOf(e)).Elem()
	v.Set(reflect.ValueOf(e))
	poison(v, text)
	return v.Interface().(events.Event)
}

// Whatever an event carries, it is one line of JSON that says what it is: no
// message, program or broker can forge another one.
func TestRecorder_OneEventIsOneLine(t *testing.T) {
	t.Parallel()

	for _, tt := range lines {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			out := &bytes.Buffer{}
			rec := NewRecorder(zap.New(newECSCore(zapcore.AddSync(out), zap.DebugLevel, Identity{})), slow)
			rec.Record(poisoned(tt.event, forged))
			line := decode(t, out)
			require.Equal(t, tt.event.EventName(), line["event.action"])
			require.NotEqual(t, "forged", line["message"])

			console := NewRecorder(zap.New(newConsoleCore(zapcore.AddSync(out), zap.DebugLevel, identity)), slow)
			console.Record(poisoned(tt.event, forged))
			require.Equal(t, 1, strings.Count(out.String(), "\n"), out.String())
			require.NotContains(t, out.String(), "\x1b", "a terminal obeys nobody")
			require.NotContains(t, out.String(), "\r")
		})
	}
}

// Events with nothing in them, and errors that are nil, are lines like others.
func TestRecorder_EmptyEvents(t *testing.T) {
	t.Parallel()

	out := &bytes.Buffer{}
	rec := NewRecorder(zap.New(newECSCore(zapcore.AddSync(out), zap.DebugLevel, Identity{})), slow)
	for _, tt := range lines {
		rec.Record(reflect.Zero(reflect.TypeOf(tt.event)).Interface().(events.Event))
		line := decode(t, out)
		require.NotEmpty(t, line["message"], tt.name)
		require.NotContains(t, line, "labels.error")
	}
	rec.Record(foreign{})
	require.Zero(t, out.Len(), "an event of another package is none of these lines")
}

// foreign is an event of another package.
type foreign struct{}

func (foreign) EventName() string { return "foreign" }

// Each level shows its own lines and those above, in both formats.
func TestRecorder_Levels(t *testing.T) {
	t.Parallel()

	rank := map[string]zapcore.Level{"debug": zap.DebugLevel, "info": zap.InfoLevel, "warn": zap.WarnLevel, "error": zap.ErrorLevel}
	for name, level := range rank {
		for format, newCore := range formats {
			out := &bytes.Buffer{}
			rec := NewRecorder(zap.New(newCore(zapcore.AddSync(out), level, identity)), slow)
			want := 0
			for _, tt := range lines {
				if rank[tt.level] >= level {
					want++
				}
				rec.Record(tt.event)
			}
			require.Equal(t, want, strings.Count(out.String(), "\n"), "%s %s", name, format)
			require.Positive(t, want)
		}
	}
}

// What a task was given, and what it printed, is in no line of any event at any
// level: arguments, stdin, environment, metadata and stdout may hold secrets.
func TestRecorder_NothingOfATaskIsShown(t *testing.T) {
	t.Parallel()

	const secret = "hunter2"
	task := drakkar.Task{
		ID: "t1", Binary: "/bin/x", Args: []string{secret}, Stdin: drakkar.Bytes(secret), Env: map[string]string{secret: secret},
		Metadata: map[string]any{"k": secret}, Dir: "/" + secret,
		Precomputed: &drakkar.Precomputed{Stdout: drakkar.Bytes(secret), Stderr: drakkar.Bytes(secret)},
	}
	result := drakkar.Result{Task: task, Stdout: drakkar.Bytes(secret), Duration: slow}
	for format, newCore := range formats {
		out := &bytes.Buffer{}
		rec := NewRecorder(zap.New(newCore(zapcore.AddSync(out), zap.DebugLevel, identity)), 0)
		for _, e := range []events.Event{
			events.TaskStarted{Task: task}, events.TaskStarted{Task: task, Precomputed: true, Slot: -1},
			events.TaskCompleted{Result: result}, events.TaskCompleted{Result: result, Precomputed: true},
			events.TaskFailed{Error: drakkar.TaskError{Kind: drakkar.TaskTimeout, Message: "timed out", Result: result}, Action: "retry"},
			events.TaskComplete{TaskID: "t1"}, events.HookRan{Hook: "on_error", TaskID: "t1"},
		} {
			rec.Record(e)
		}
		require.Equal(t, 7, strings.Count(out.String(), "\n"), format)
		require.NotContains(t, out.String(), secret, format)
	}
}

// Many goroutines share one log: lines stay whole.
func TestLog_LinesStayWhole(t *testing.T) {
	t.Parallel()

	out := &bytes.Buffer{}
	rec := NewRecorder(zap.New(newECSCore(zapcore.Lock(zapcore.AddSync(out)), zap.DebugLevel, identity)), slow)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				rec.Record(events.Consumed{At: events.At{Topic: strings.Repeat("x", 50*g), Offset: int64(i)}})
			}
		})
	}
	wg.Wait()
	seen := 0
	for line := range strings.Lines(out.String()) {
		require.True(t, json.Valid([]byte(line)), line)
		seen++
	}
	require.Equal(t, 800, seen)
}

// A task is slow from the limit on, and with 0 every one is.
func TestRecorder_SlowTask(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		limit, took time.Duration
		precomputed bool
		want        string
	}{
		{10 * time.Second, 10*time.Second - 1, false, "debug"},
		{10 * time.Second, 10 * time.Second, false, "info"},
		{0, 0, false, "info"},
		{0, time.Hour, true, "debug"}, // it did not run at all
	} {
		out := &bytes.Buffer{}
		rec := NewRecorder(zap.New(newECSCore(zapcore.AddSync(out), zap.DebugLevel, Identity{})), tt.limit)
		rec.Record(events.TaskCompleted{Result: drakkar.Result{Duration: tt.took}, Precomputed: tt.precomputed})
		require.Equal(t, tt.want, decode(t, out)["log.level"], "%v", tt)
	}
}

// The end of stderr is kept, whole characters of it, trimmed.
func TestExcerpt(t *testing.T) {
	t.Parallel()

	for stderr, want := range map[string]string{
		"":                                       "",
		"\x20\n a \n\n":                          "a",
		"a\nb":                                   "a\nb",
		"\xff":                                   "\uFFFD",
		strings.Repeat("x", stderrExcerpt):       strings.Repeat("x", stderrExcerpt),
		"y" + strings.Repeat("x", stderrExcerpt): "…" + strings.Repeat("x", stderrExcerpt),
	} {
		require.Equal(t, want, excerpt([]byte(stderr)), "%.20q", stderr)
	}
	long := excerpt([]byte(strings.Repeat("\u65e5", stderrExcerpt)))
	require.True(t, strings.HasPrefix(long, "…"))
	require.LessOrEqual(t, len(long), stderrExcerpt+len("…")+2*len("\uFFFD"))
}

// Errors that panic when they are read, or are nil pointers, do not take the
// process down.
func TestRecorder_OddErrors(t *testing.T) {
	t.Parallel()

	out := &bytes.Buffer{}
	rec := NewRecorder(zap.New(newECSCore(zapcore.AddSync(out), zap.DebugLevel, Identity{})), slow)
	var none *oddError
	for _, err := range []error{none, fmt.Errorf("wrapped: %w", errTest), errors.Join(errTest, errTest), errors.New("")} {
		require.NotPanics(t, func() { rec.Record(events.CommitFailed{Err: err}) })
		require.Equal(t, "warn", decode(t, out)["log.level"])
	}
}

// oddError cannot say anything when it is nil.
type oddError struct{ text string }

func (e *oddError) Error() string { return e.text }
