package drakkartest

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/workflows"
)

// Replay replays the histories of all files that the pattern matches, as
// filepath.Glob does, against the workflows of this version. A file is a
// history as JSON, as "temporal workflow show --output json" writes it and
// Temporal's UI downloads it. Register adds workflows of the author's own;
// activities need not be registered.
//
// A history that this version would not have written fails the test with the
// file's name, and so does a pattern that matches nothing.
func Replay(t testing.TB, pattern string, register ...func(worker.WorkflowRegistry)) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatalf("looking for histories: %v", err)
	}
	if len(files) == 0 {
		t.Fatalf("no history matches %s", pattern)
	}
	for _, file := range files {
		if err := replay(file, register); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func replay(file string, register []func(worker.WorkflowRegistry)) error {
	r := worker.NewWorkflowReplayer()
	wf := &workflows.Workflows{Settings: func() workflows.Settings { return workflows.Settings{} }}
	r.RegisterWorkflowWithOptions(wf.Window, workflow.RegisterOptions{Name: workflows.WindowWorkflow})
	r.RegisterWorkflowWithOptions(wf.Rebalance, workflow.RegisterOptions{Name: workflows.RebalanceWorkflow})
	for _, f := range register {
		f(r)
	}
	silent := log.NewStructuredLogger(slog.New(slog.DiscardHandler)) // the error says it all
	if err := r.ReplayWorkflowHistoryFromJSONFile(silent, file); err != nil {
		return fmt.Errorf("replaying %s: %w", file, err)
	}
	return nil
}
