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

// order is a message: a number, and how long its task takes.
type order struct {
	N  int `json:"n"`
	MS int `json:"ms"`
}

// receipt is what is delivered for a message, to each sink there is.
type receipt struct {
	N int `json:"n"`
}

// handler runs one task for each message and delivers its number.
type handler struct{ sinks config.Sinks }

// OnStartup implements app.StartupHook: it changes nothing, and keeps what is
// configured.
func (h *handler) OnStartup(_ context.Context, cfg *config.Config) error {
	h.sinks = cfg.Sinks
	return nil
}

// Arrange implements drakkar.Handler.
func (h *handler) Arrange(_ context.Context, w drakkar.Window[order]) ([]drakkar.Task, error) {
	tasks := make([]drakkar.Task, len(w.Messages))
	for i, m := range w.Messages {
		tasks[i] = m.Task(strconv.Itoa(m.Payload.N), strconv.Itoa(m.Payload.MS))
	}
	return tasks, nil
}

// OnTaskComplete implements drakkar.TaskCompleter.
func (h *handler) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	n, err := strconv.Atoi(string(r.Stdout))
	if err != nil {
		return drakkar.CollectResult{}, err
	}
	var out drakkar.CollectResult
	for name := range h.sinks.Kafka {
		out.Kafka = append(out.Kafka, drakkar.KafkaPayload{Sink: name, Data: receipt{N: n}})
	}
	for name := range h.sinks.Filesystem {
		out.Files = append(out.Files, drakkar.FilePayload{Sink: name, Data: receipt{N: n}, Path: storeFile})
	}
	return out, nil
}
