package drakkar_test

import (
	"context"
	"fmt"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/drakkartest"
)

// Greeting is what a message of this example holds.
type Greeting struct {
	Name string `json:"name"`
}

// Greeter says hello to everyone.
type Greeter struct{}

// Arrange makes one task of each message.
func (Greeter) Arrange(_ context.Context, w drakkar.Window[Greeting]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		tasks = append(tasks, m.Task("hello", m.Payload.Name))
	}
	return tasks, nil
}

// OnTaskComplete sends what the program printed to Kafka.
func (Greeter) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	return drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Data: r.Stdout}}}, nil
}

// A handler needs Arrange alone; each further hook is a method that it has or
// has not. The program is the one of executor.binary_path.
func Example() {
	rep, err := drakkartest.Try(context.Background(), drakkar.NewPipeline(Greeter{}),
		drakkartest.Binary("/bin/echo"),
		drakkartest.Message(`{"name":"Ada"}`),
		drakkartest.Message(Greeting{Name: "Grace"}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, p := range rep.Outputs.Kafka {
		fmt.Printf("%s: %s", rep.Tasks[i].ID, p.Data)
	}
	// Output:
	// 0-0-0: hello Ada
	// 0-1-0: hello Grace
}
