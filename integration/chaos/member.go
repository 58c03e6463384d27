package chaos

import (
	"context"
	"os"
	"strconv"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/config"
)

// The environment of members and of their tasks. The task program knows the
// last two by their names.
const (
	envRole = "DRAKKARTEST_CHAOS_ROLE"
	envRun  = "DRAKKARTEST_CHAOS_RUN"
	envLog  = "DRAKKARTEST_CHAOS_LOG"
)

// role is what a process of the pipeline does.
type role string

const (
	ingest   = role(app.Ingest)
	executor = role(app.Executor)
)

// IsMember reports whether this process was started as a member of a pipeline.
// The program that holds the chaos command calls Member then: its members are
// that program itself, started again.
func IsMember() bool { return os.Getenv(envRole) != "" }

// Member runs this process as ingest or executor, as the environment says, and
// returns its exit code.
func Member() int {
	if role(os.Getenv(envRole)) == ingest {
		return app.MainIngest()
	}
	return app.Main(drakkar.NewPipeline(&handler{}))
}

// order is a message: a number, how long its task takes, and which kind of sink
// its receipt is for; empty is all of them.
type order struct {
	N    int    `json:"n"`
	MS   int    `json:"ms"`
	Only string `json:"only,omitempty"`
}

// labelOnly is the label of a task that holds the only kind of sink.
const labelOnly = "only"

// receipt is what is delivered for a message.
type receipt struct {
	N int `json:"n" bson:"n"`
}

// handler runs one task for each message and delivers its number.
type handler struct{ cfg *config.Config }

// OnStartup implements app.StartupHook: it changes nothing, and keeps what is
// configured.
func (h *handler) OnStartup(_ context.Context, cfg *config.Config) error {
	h.cfg = cfg
	return nil
}

// Arrange implements drakkar.Handler.
func (h *handler) Arrange(_ context.Context, w drakkar.Window[order]) ([]drakkar.Task, error) {
	tasks := make([]drakkar.Task, len(w.Messages))
	for i, m := range w.Messages {
		tasks[i] = m.Task(strconv.Itoa(m.Payload.N), strconv.Itoa(m.Payload.MS))
		if m.Payload.Only != "" {
			tasks[i].Labels = map[string]string{labelOnly: m.Payload.Only}
		}
	}
	return tasks, nil
}

// OnTaskComplete implements drakkar.TaskCompleter.
func (h *handler) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	n, err := strconv.Atoi(string(r.Stdout))
	if err != nil {
		return drakkar.CollectResult{}, err
	}
	return only(r.Task.Labels[labelOnly], receipts(h.cfg, r.Task, receipt{N: n}))
}
