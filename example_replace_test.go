package drakkar_test

import (
	"context"
	"fmt"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/drakkartest"
)

// Patient tries a quick program first and a thorough one when it fails.
type Patient struct{ Greeter }

// OnError decides about every failed attempt.
func (Patient) OnError(_ context.Context, t drakkar.Task, e drakkar.TaskError) drakkar.ErrorAction {
	switch {
	case e.Kind == drakkar.TaskExit && t.ParentID == "":
		return drakkar.Replace(drakkar.Task{
			Binary: "/bin/sh", Args: []string{"-c", "echo thorough: $*", "sh", t.Args[1]},
		})
	case e.Kind == drakkar.TaskTimeout:
		return drakkar.Retry(0)
	}
	return drakkar.DeadLetter()
}

// OnError can let other tasks stand in for one that failed. They inherit its
// message, which is complete when they are.
func ExampleErrorHandler_replace() {
	rep, err := drakkartest.Try(context.Background(), drakkar.NewPipeline(Patient{}),
		drakkartest.Binary("/bin/false"),
		drakkartest.Message(Greeting{Name: "Ada"}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range rep.Failures {
		fmt.Printf("%s failed with %d: %s\n", f.Error.Result.Task.ID, f.Error.Result.ExitCode, f.Action)
	}
	for _, r := range rep.Results {
		fmt.Printf("%s: %s", r.Task.ID, r.Stdout)
	}
	g := rep.Groups[0]
	fmt.Println("total", g.Total(), "succeeded", g.Succeeded(), "replaced", g.Replaced())
	// Output:
	// 0-0-0 failed with 1: replace
	// 0-0-0.0: thorough: Ada
	// total 2 succeeded 1 replaced 1
}
