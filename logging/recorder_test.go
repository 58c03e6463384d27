package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

const slow = 10 * time.Second

var (
	errTest  = errors.New("broken")
	at3      = events.At{Topic: "in", Partition: 3, Offset: 100}
	kafka    = events.Sink{Type: "kafka", Name: "results"}
	note     = drakkar.Annotation{Kind: "decision", Data: map[string]any{"why": "x"}, Scope: drakkar.HookScope{Hook: "arrange", TaskID: "t1"}}
	fastTask = drakkar.Result{Task: drakkar.Task{ID: "t1"}, Duration: time.Second}
	slowTask = drakkar.Result{Task: drakkar.Task{ID: "t1"}, Duration: slow}
)

// lines lists for events the level and the category of their line, and some of
// its fields.
var lines = []struct {
	name     string
	event    events.Event
	level    string
	category string
	fields   map[string]any
}{
	{"Annotated", events.Annotated{Annotation: note}, "debug", "handler", map[string]any{"labels.kind": "decision", "labels.task_id": "t1", "labels.data": map[string]any{"why": "x"}}},
	{"AnnotatedDropped", events.Annotated{Annotation: note, Dropped: true}, "warn", "handler", map[string]any{"labels.data": nil}},
	{"Arranged", events.Arranged{At: at3, Tasks: 4}, "debug", "handler", map[string]any{"labels.tasks": 4.0}},
	{"Assigned", events.Assigned{Topic: "in", Partitions: []int32{1, 2}}, "info", "kafka", map[string]any{"labels.topic": "in", "labels.partitions": []any{1.0, 2.0}}},
	{"AssignmentReady", events.AssignmentReady{At: at3, Epoch: "100-20260101-0", Adopted: 2}, "info", "partition", map[string]any{"labels.epoch": "100-20260101-0", "labels.adopted": 2.0, "labels.new_epoch": nil}},
	{"AssignmentReadyNewEpoch", events.AssignmentReady{At: at3, NewEpoch: "offset was reset"}, "info", "partition", map[string]any{"labels.new_epoch": "offset was reset"}},
	{"BreakerChangedClosed", events.BreakerChanged{Sink: kafka, State: "closed"}, "info", "sink", map[string]any{"labels.state": "closed"}},
	{"BreakerChangedOpen", events.BreakerChanged{Sink: kafka, State: "open"}, "warn", "sink", map[string]any{"labels.sink_type": "kafka", "labels.sink_name": "results"}},
	{"CommitFailed", events.CommitFailed{At: at3, Err: errTest}, "warn", "kafka", map[string]any{"error.message": "broken", "labels.offset": 100.0}},
	{"Committed", events.Committed{At: at3, Took: time.Second}, "debug", "kafka", map[string]any{"event.duration": 1e9, "labels.partition": 3.0}},
	{"Consumed", events.Consumed{At: at3, Bytes: 7}, "debug", "kafka", map[string]any{"labels.bytes": 7.0}},
	{"ConsumerError", events.ConsumerError{Err: errTest}, "warn", "kafka", map[string]any{"error.message": "broken"}},
	{"ConsumerErrorFatal", events.ConsumerError{Err: errTest, Fatal: true}, "error", "kafka", map[string]any{"labels.fatal": true}},
	{"DLQFailed", events.DLQFailed{Entries: 3, Attempt: 2, Err: errTest}, "error", "sink", map[string]any{"labels.entries": 3.0, "labels.attempt": 2.0}},
	{"DeadLetteredMessage", events.DeadLettered{At: at3, Class: "parse", Err: "no JSON"}, "warn", "sink", map[string]any{"error.message": "no JSON", "labels.sink_type": nil}},
	{"DeadLetteredPayload", events.DeadLettered{At: at3, Sink: kafka, ID: "id-1"}, "warn", "sink", map[string]any{"labels.id": "id-1", "labels.sink_type": "kafka"}},
	{"HookRan", events.HookRan{Hook: "arrange", At: at3}, "debug", "handler", map[string]any{"labels.hook": "arrange", "labels.task_id": nil}},
	{"HookRanError", events.HookRan{Hook: "on_task_complete", TaskID: "t1", Err: errTest}, "warn", "handler", map[string]any{"labels.task_id": "t1", "error.message": "broken"}},
	{"IngestFailed", events.IngestFailed{At: at3, Doing: "starting the window", Workflow: "wf", Err: errTest}, "warn", "partition", map[string]any{"labels.doing": "starting the window", "labels.workflow": "wf", "labels.partition": 3.0, "error.message": "broken"}},
	{"IngestFailedStuck", events.IngestFailed{At: events.At{Partition: -1}, Err: errTest, Stuck: true}, "error", "partition", map[string]any{"labels.partition": nil, "labels.workflow": nil}},
	{"MessageComplete", events.MessageComplete{At: at3, Outputs: 2}, "debug", "handler", map[string]any{"labels.outputs": 2.0}},
	{"OffsetsSkipped", events.OffsetsSkipped{At: at3, Next: 142, Because: "retention"}, "error", "kafka", map[string]any{"labels.skipped": 42.0, "labels.because": "retention"}},
	{"OldWindowsCancelled", events.OldWindowsCancelled{At: at3, Epoch: "e", Windows: 2}, "warn", "partition", map[string]any{"labels.windows": 2.0, "labels.epoch": "e"}},
	{"OrphanKilled", events.OrphanKilled{PID: 7}, "warn", "executor", map[string]any{"labels.pid": 7.0}},
	{"ParseFailed", events.ParseFailed{At: at3, Policy: "dlq", Err: errTest}, "warn", "handler", map[string]any{"labels.policy": "dlq", "error.message": "broken"}},
	{"Paused", events.Paused{At: at3}, "debug", "kafka", nil},
	{"PeriodicRun", events.PeriodicRun{Task: "sync"}, "debug", "periodic", map[string]any{"labels.periodic": "sync"}},
	{"PeriodicRunError", events.PeriodicRun{Task: "sync", Err: errTest}, "warn", "periodic", map[string]any{"error.message": "broken"}},
	{"PeriodicRunStopped", events.PeriodicRun{Task: "sync", Err: errTest, Stopped: true}, "error", "periodic", nil},
	{"Produced", events.Produced{At: at3, ID: "id-1", Sink: kafka, Target: "out"}, "debug", "sink", map[string]any{"labels.target": "out"}},
	{"RecorderPanicked", events.RecorderPanicked{Event: "produced", Value: "oh"}, "debug", "handler", map[string]any{"labels.recorded_event": "produced"}},
	{"RecorderPanickedFirst", events.RecorderPanicked{Event: "produced", Value: "oh", Stack: "goroutine 1"}, "error", "handler", map[string]any{"error.message": "oh", "error.stack_trace": "goroutine 1"}},
	{"ResidentEnded", events.ResidentEnded{PID: 7, Binary: "/bin/x", Reason: "max_tasks", Tasks: 3}, "debug", "executor", map[string]any{"labels.pid": 7.0, "labels.reason": "max_tasks", "labels.tasks": 3.0}},
	{"ResidentEndedUnasked", events.ResidentEnded{PID: 7, Reason: "exited", Detail: "exit code 3", Unclaimed: 5}, "warn", "executor", map[string]any{"error.message": "exit code 3", "labels.unclaimed_stderr_bytes": 5.0}},
	{"ResidentStarted", events.ResidentStarted{PID: 7, Binary: "/bin/x", Took: time.Second}, "debug", "executor", map[string]any{"labels.binary": "/bin/x", "event.duration": 1e9}},
	{"Resumed", events.Resumed{At: at3}, "debug", "kafka", nil},
	{"Revoked", events.Revoked{Partitions: []int32{3}}, "info", "kafka", map[string]any{"labels.partitions": []any{3.0}}},
	{"RevokedLost", events.Revoked{Partitions: []int32{3}, Lost: true}, "warn", "kafka", map[string]any{"labels.lost": true}},
	{"SinkDelivered", events.SinkDelivered{Sink: kafka, Payloads: 12}, "debug", "sink", map[string]any{"labels.payloads": 12.0}},
	{"SinkHeld", events.SinkError{Sink: kafka, Class: "transient", Err: errTest}, "debug", "sink", nil},
	{"SinkRetryHeld", events.SinkRetry{Sink: kafka, After: time.Second, Held: true}, "debug", "sink", nil},
	{"SinkError", events.SinkError{Sink: kafka, Class: "transient", Attempt: 1, Err: errTest}, "warn", "sink", map[string]any{"labels.class": "transient", "error.message": "broken"}},
	{"SinkRetry", events.SinkRetry{Sink: kafka, After: time.Second}, "warn", "sink", map[string]any{"labels.after": 1.0}},
	{"SinkSkipped", events.SinkSkipped{Sink: kafka, Payloads: 2, Err: errTest}, "warn", "sink", map[string]any{"labels.payloads": 2.0}},
	{"TaskComplete", events.TaskComplete{At: at3, TaskID: "t1"}, "debug", "handler", map[string]any{"labels.task_id": "t1"}},
	{"TaskCompleted", events.TaskCompleted{At: at3, Result: fastTask}, "debug", "executor", map[string]any{"labels.task_id": "t1", "event.duration": 1e9}},
	{"TaskCompletedPrecomputed", events.TaskCompleted{At: at3, Result: slowTask, Precomputed: true}, "debug", "executor", nil},
	{"TaskCompletedSlow", events.TaskCompleted{At: at3, Result: slowTask}, "info", "executor", map[string]any{"event.duration": 1e10}},
	{"TaskFailed", events.TaskFailed{At: at3, Action: "retry", Error: drakkar.TaskError{
		Kind: drakkar.TaskExit, Message: "exit code 2", Result: drakkar.Result{ExitCode: 2, Stderr: drakkar.Bytes("no such file\n")},
	}}, "warn", "executor", map[string]any{"labels.exit_code": 2.0, "labels.stderr": "no such file", "labels.action": "retry", "error.message": "exit code 2"}},
	{"TaskStarted", events.TaskStarted{At: at3, Waited: 1500 * time.Millisecond}, "debug", "executor", map[string]any{"labels.waited": 1.5}},
	{"WindowComplete", events.WindowComplete{At: at3, Workflow: "wf"}, "debug", "handler", map[string]any{"labels.workflow": "wf"}},
	{"WindowFinished", events.WindowFinished{At: at3, Delivered: 9}, "debug", "partition", map[string]any{"labels.delivered": 9.0}},
	{"WindowDeadLettered", events.WindowDeadLettered{At: at3, Reason: "run too often"}, "error", "partition", map[string]any{"labels.reason": "run too often"}},
	{"WorkflowTaskFailed", events.WorkflowTaskFailed{Workflow: "w", Reason: "r"}, "error", "partition", map[string]any{"labels.workflow_type": "w", "labels.reason": "r"}},
	{"WindowOverdue", events.WindowOverdue{At: at3, Workflow: "wf", Age: time.Hour}, "error", "partition", map[string]any{"labels.workflow": "wf", "labels.age": 3600.0}},
	{"WindowReread", events.WindowReread{At: at3, Messages: 7}, "warn", "partition", map[string]any{"labels.messages": 7.0, "labels.gone": 0.0}},
	{"WindowRereadGone", events.WindowReread{At: at3, Gone: 3}, "error", "partition", map[string]any{"labels.gone": 3.0}},
	{"WindowRerun", events.WindowRerun{At: at3, Reason: "terminated"}, "warn", "partition", map[string]any{"labels.reason": "terminated"}},
	{"WindowStarted", events.WindowStarted{At: at3, Last: 199}, "debug", "partition", map[string]any{"labels.last": 199.0}},
	{"WindowStartedAdopted", events.WindowStarted{At: at3, Adopted: true}, "warn", "partition", nil},
}

// silent are the events without a line, with the reason.
var silent = map[string]string{
	"PoolState":  "a reading each second, which metrics show",
	"QueueDepth": "a reading each second, which metrics show",
}

func TestRecorder(t *testing.T) {
	t.Parallel()

	type testBundle struct {
		out *bytes.Buffer
		rec events.Recorder
	}

	setup := func(level zapcore.Level) *testBundle {
		out := &bytes.Buffer{}
		return &testBundle{out: out, rec: NewRecorder(zap.New(newECSCore(zapcore.AddSync(out), level, Identity{})), slow)}
	}

	for _, tt := range lines {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := setup(zap.DebugLevel)
			b.rec.Record(tt.event)
			line := decode(t, b.out)
			require.Equal(t, tt.level, line["log.level"])
			require.NotEmpty(t, line["message"])
			require.Equal(t, tt.event.EventName(), line["event.action"])
			require.Equal(t, "drakkar."+tt.category, line["event.dataset"])
			for key, want := range tt.fields {
				require.Equal(t, want, line[key], key)
			}
		})
	}

	t.Run("EveryEventHasALine", func(t *testing.T) {
		t.Parallel()

		written := map[string]bool{}
		for _, tt := range lines {
			written[reflect.TypeOf(tt.event).Name()] = true
		}
		names := eventTypes(t)
		require.NotEmpty(t, names)
		for _, name := range names {
			_, deliberate := silent[name]
			require.NotEqualf(t, written[name], deliberate, "%s must be in exactly one of lines and silent", name)
		}
	})

	t.Run("InfoLeavesOutTheUsual", func(t *testing.T) {
		t.Parallel()

		b := setup(zap.InfoLevel)
		for _, tt := range lines {
			if tt.level == "debug" {
				b.rec.Record(tt.event)
			}
		}
		b.rec.Record(events.PoolState{})
		b.rec.Record(events.QueueDepth{})
		require.Empty(t, b.out.String())
	})

	t.Run("NoSecrets", func(t *testing.T) {
		t.Parallel()

		const secret = "hunter2"
		task := drakkar.Task{
			ID: "t1", Args: []string{"--password=" + secret}, Stdin: drakkar.Bytes(secret),
			Env: map[string]string{"PASSWORD": secret}, Metadata: map[string]any{"dsn": "postgres://u:" + secret + "@h/d"},
		}
		result := drakkar.Result{Task: task, Stdout: drakkar.Bytes(secret), Duration: slow}
		b := setup(zap.DebugLevel)
		for _, e := range []events.Event{
			events.TaskStarted{Task: task},
			events.TaskCompleted{Result: result},
			events.TaskFailed{Error: drakkar.TaskError{Message: "exit code 1", Result: result}},
		} {
			b.rec.Record(e)
		}
		require.Equal(t, 3, strings.Count(b.out.String(), "\n"))
		require.NotContains(t, b.out.String(), secret)
	})

	t.Run("StderrIsBounded", func(t *testing.T) {
		t.Parallel()

		b := setup(zap.InfoLevel)
		stderr := append(bytes.Repeat([]byte("é"), 1<<20), "\xffthe end\n"...)
		b.rec.Record(events.TaskFailed{Error: drakkar.TaskError{Result: drakkar.Result{Stderr: stderr}}})
		require.Less(t, b.out.Len(), stderrExcerpt+1024)
		var line struct {
			Stderr string `json:"labels.stderr"`
		}
		require.NoError(t, json.Unmarshal(b.out.Bytes(), &line))
		require.True(t, strings.HasPrefix(line.Stderr, "…"))
		require.True(t, strings.HasSuffix(line.Stderr, "é\uFFFDthe end"))
	})
}

// eventTypes are the types of package events that have an EventName.
func eventTypes(t *testing.T) []string {
	t.Helper()

	files, err := filepath.Glob("../events/*.go")
	require.NoError(t, err)
	var names []string
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			method, ok := decl.(*ast.FuncDecl)
			if !ok || method.Recv == nil || method.Name.Name != "EventName" {
				continue
			}
			receiver, ok := method.Recv.List[0].Type.(*ast.Ident)
			require.True(t, ok)
			names = append(names, receiver.Name)
		}
	}
	return names
}
