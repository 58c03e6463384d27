// Package handler is the pipeline that the bench measures: it does as little as
// a handler can, so that what is measured is Drakkar.
package handler

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/drakkar-go/drakkar"
)

// EnvPlan names the variable of the environment that holds the Plan, as JSON.
const EnvPlan = "DRAKKARTEST_BENCH_PLAN"

// Plan is what the handler makes of a message. The zero value runs the program
// of the settings once, with the message's number as its argument.
type Plan struct {
	// Args stand before the number.
	Args []string `json:"args,omitempty"`

	// Tasks is how many tasks a message has. 0 is one.
	Tasks int `json:"tasks,omitempty"`

	// Precomputed starts no program: the results are known.
	Precomputed bool `json:"precomputed,omitempty"`

	// Sleep runs the tasks in Go: they hold a slot for this long. 0 runs
	// programs.
	Sleep time.Duration `json:"sleep,omitempty"`
}

// PerMessage is how many tasks a message has.
func (p Plan) PerMessage() int { return max(1, p.Tasks) }

// Encode is the plan as EnvPlan holds it.
func (p Plan) Encode() (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encoding the plan: %w", err)
	}
	return string(text), nil
}

// Order is a message: a number, and what makes it as long as wanted.
type Order struct {
	N   int    `json:"n"`
	Pad string `json:"pad,omitempty"`
}

// Number is what the k-th task of message n delivers, as a decimal number.
func (p Plan) Number(n, k int) int { return n*p.PerMessage() + k }

// FromEnvironment is the pipeline of the plan in EnvPlan.
func FromEnvironment() (*drakkar.Pipeline, error) {
	var p Plan
	if text := os.Getenv(EnvPlan); text != "" {
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", EnvPlan, err)
		}
	}
	if p.Sleep > 0 {
		return drakkar.NewPipeline(sleeper{programs{p}}), nil
	}
	return drakkar.NewPipeline(programs{p}), nil
}

// programs runs a program for each task.
type programs struct{ plan Plan }

// Arrange implements drakkar.Handler.
func (h programs) Arrange(_ context.Context, w drakkar.Window[Order]) ([]drakkar.Task, error) {
	tasks := make([]drakkar.Task, 0, len(w.Messages)*h.plan.PerMessage())
	for _, m := range w.Messages {
		for k := range h.plan.PerMessage() {
			number := strconv.Itoa(h.plan.Number(m.Payload.N, k))
			t := m.Task(append(slices.Clone(h.plan.Args), number)...)
			if h.plan.Precomputed {
				t.Precomputed = &drakkar.Precomputed{Stdout: []byte(number)}
			}
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// OnTaskComplete implements drakkar.TaskCompleter: each task delivers its
// number.
func (programs) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	number := r.Task.Args[len(r.Task.Args)-1]
	return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: []byte(number)}}}, nil
}

// sleeper runs tasks in Go, which cost no CPU.
type sleeper struct{ programs }

// Execute implements drakkar.Executor.
func (h sleeper) Execute(ctx context.Context, _ drakkar.Task) (drakkar.Result, error) {
	select {
	case <-time.After(h.plan.Sleep):
		return drakkar.Result{}, nil
	case <-ctx.Done():
		return drakkar.Result{}, context.Cause(ctx)
	}
}
