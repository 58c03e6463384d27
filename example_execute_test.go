package drakkar_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/drakkartest"
)

// Hasher needs no program: its tasks are Go.
type Hasher struct{}

// Arrange gives the task its message on standard input, as it would a program.
func (Hasher) Arrange(_ context.Context, w drakkar.Window[[]byte]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		t := m.Task()
		t.Stdin = m.Value
		t.Retry = &drakkar.RetryPolicy{MaxAttempts: 1}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

// Execute runs the task. It holds a slot meanwhile, and ctx ends at the task's
// timeout.
func (Hasher) Execute(_ context.Context, t drakkar.Task) (drakkar.Result, error) {
	if len(t.Stdin) == 0 {
		return drakkar.Result{}, errors.New("there is nothing to hash")
	}
	return drakkar.Result{Stdout: fmt.Appendf(nil, "%.4x", sha256.Sum256(t.Stdin))}, nil
}

// A task can be Go instead of a program.
func ExampleExecutor() {
	rep, err := drakkartest.Try(context.Background(), drakkar.NewPipeline(Hasher{}),
		drakkartest.Message("hello"),
		drakkartest.Message(""),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range rep.Results {
		fmt.Println(r.Task.ID, r.Stdout)
	}
	fmt.Println(rep.Err())
	// Output:
	// 0-0-0 2cf24dba
	// task 0-1-0: execute: there is nothing to hash
	// task 0-1-0 is dead-lettered: task 0-1-0: execute: there is nothing to hash
}
