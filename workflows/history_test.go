package workflows_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/drakkar-go/drakkar/drakkartest"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

var record = flag.Bool("record", false, "write the histories in testdata anew; needs a real Temporal")

// TestHistories replays what released versions have written. A failure means
// that windows which are open during an upgrade would not go on: the change
// needs workflow.GetVersion.
func TestHistories(t *testing.T) {
	t.Parallel()

	for name := range scenarios {
		require.FileExists(t, filepath.Join("testdata", name+".json"), "make it with -record")
	}
	drakkartest.Replay(t, "testdata/*.json")
}

// scenarios are the courses of windows of which a history is kept.
var scenarios = map[string]struct {
	n    int
	bend func(b *bundle)
}{
	"plain": {n: 3, bend: func(*bundle) {}},
	"hooks": {n: 3, bend: func(b *bundle) {
		b.set.Hooks.MessageComplete, b.set.Hooks.WindowComplete = true, true
		b.set.LocalCollect = false
	}},
	"arrange-fails": {n: 4, bend: func(b *bundle) {
		b.set.HookInitialInterval, b.set.HookMaxInterval = 10*time.Millisecond, 20*time.Millisecond
		b.arrange = func(in workflows.ArrangeInput) (workflows.Plan, error) {
			if in.Attempts == 0 {
				return workflows.Plan{}, hookError("bad apple")
			}
			p := planOf(in.Messages[1:])
			p.Letters = listOf(workflows.Letter{Offset: 100, Class: workflows.ClassArrange})
			p.LetterOffsets = one(100)
			return p, nil
		}
	}},
	"hooks-fail": {n: 3, bend: func(b *bundle) {
		b.set.Hooks.MessageComplete = true
		b.set.HookInitialInterval, b.set.HookMaxInterval = 10*time.Millisecond, 20*time.Millisecond
		b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
			s := in.Batch.Tasks.Items[0]
			return workflows.Outcome{Calls: taskCalls(1, s)}, nil
		}
		b.collect = func(in workflows.CollectInput) (workflows.Outcome, error) {
			if in.Stage == "" && in.Calls.Items[0].Task != nil {
				return workflows.Outcome{Settled: countsOf([]workflows.TaskSpec{in.Calls.Items[0].Task.Spec}), Succeeded: 1}, nil
			}
			if in.Attempts == 0 {
				return workflows.Outcome{Calls: messageCalls(1, in.Messages[0].Offset)}, nil
			}
			o := in.Calls.Items[0].Offset
			return workflows.Outcome{Letters: listOf(workflows.Letter{Offset: o}), LetterOffsets: one(o), Buried: one(o)}, nil
		}
	}},
	"retries-and-replacements": {n: 2, bend: func(b *bundle) {
		b.set.Hooks.MessageComplete = true
		b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
			s := &in.Batch.Tasks.Items[0]
			switch {
			case s.Attempt == 1 && s.Depth == 0:
				s.Attempt++
				in.Batch.After, in.Batch.Counts = 20*time.Millisecond, countsOf(in.Batch.Tasks.Items)
				return workflows.Outcome{FollowUps: []workflows.Batch{in.Batch}}, nil
			case s.Depth == 0:
				next := batchOf(s.SourceOffsets[0])
				next.Tasks.Items[0].Depth, next.Tasks.Items[0].Attempt = 1, 2
				next.New, next.NewTasks = next.Counts, 1
				return workflows.Outcome{Settled: next.Counts, FollowUps: []workflows.Batch{next}}, nil
			}
			return succeed(in), nil
		}
	}},
	"sink-fails-then-dead-letters": {n: 1, bend: func(b *bundle) {
		b.deliver = func(in workflows.DeliverInput) (workflows.DeliverResult, error) {
			job := workflows.DeliverJob{
				To: sinks.Ref{Type: sinks.Kafka, Name: "results"}, Items: listOf(workflows.Range{}),
				Offsets: one(100), After: 20 * time.Millisecond, Attempts: 1,
			}
			switch {
			case in.Job == nil:
			case !in.Job.DLQ:
				job.DLQ, job.After = true, 0
			default:
				return arrived(in), nil
			}
			return workflows.DeliverResult{Pending: []workflows.DeliverJob{job}}, nil
		}
	}},
	"progress": {n: 3, bend: func(b *bundle) { b.execute = repeated(101, 300*time.Millisecond) }},
}

// TestHistories_Record runs each scenario on a real server and, with -record,
// keeps its history.
func TestHistories_Record(t *testing.T) {
	t.Parallel()

	c, _ := servicestest.TemporalClient(t)
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			b := setup(t)
			s.bend(b)
			in := window(s.n)
			in.Pipeline = "history-" + name + "-" + time.Now().Format("150405.000")
			in.ProgressInterval = 100 * time.Millisecond
			for _, queue := range []string{workflows.TaskQueue(in.Pipeline), workflows.ExecuteQueue(in.Pipeline)} {
				w := worker.New(c, queue, worker.Options{})
				b.register(w)
				require.NoError(t, w.Start())
				t.Cleanup(w.Stop)
			}
			run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
				ID: in.WorkflowID(), TaskQueue: workflows.TaskQueue(in.Pipeline),
			}, workflows.WindowWorkflow, in)
			require.NoError(t, err)
			var res workflows.WindowResult
			require.NoError(t, run.Get(t.Context(), &res))
			require.Equal(t, s.n, res.Messages)

			events := c.GetWorkflowHistory(t.Context(), run.GetID(), run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			var h historypb.History
			for events.HasNext() {
				e, err := events.Next()
				require.NoError(t, err)
				h.Events = append(h.Events, e)
			}
			data, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(&h)
			require.NoError(t, err)
			file := filepath.Join(t.TempDir(), name+".json")
			if *record {
				file = filepath.Join("testdata", name+".json")
			}
			require.NoError(t, os.WriteFile(file, data, 0o600))
			drakkartest.Replay(t, file)
		})
	}
}
