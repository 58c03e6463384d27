package drakkar_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/drakkartest"
)

// Query asks for several patterns at once.
type Query struct {
	ID       string   `json:"id"`
	Patterns []string `json:"patterns"`
	Text     string   `json:"text"`
}

// Answer is what is delivered for a query.
type Answer struct {
	ID      string         `json:"id"`
	Matches map[string]int `json:"matches"`
}

// Counter counts patterns: one task for each, one answer for all of them.
type Counter struct{}

// Arrange fans out: one program for each pattern, all fed the same text.
func (Counter) Arrange(_ context.Context, w drakkar.Window[Query]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		for _, pattern := range m.Payload.Patterns {
			t := m.Task("-c", "-e", pattern)
			t.Stdin = drakkar.Bytes(m.Payload.Text)
			t.Labels = map[string]string{"pattern": pattern}
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// OnMessageComplete fans in: it is called once all tasks of a message are
// settled.
func (Counter) OnMessageComplete(_ context.Context, g drakkar.MessageGroup[Query]) (drakkar.CollectResult, error) {
	a := Answer{ID: g.Message.Payload.ID, Matches: map[string]int{}}
	for _, r := range g.Results {
		n, err := strconv.Atoi(strings.TrimSpace(r.Stdout.String()))
		if err != nil {
			return drakkar.CollectResult{}, fmt.Errorf("reading the count of task %s: %w", r.Task.ID, err)
		}
		a.Matches[r.Task.Labels["pattern"]] = n
	}
	return drakkar.CollectResult{
		Postgres: []drakkar.PostgresPayload{{Table: "answers", Data: a}},
	}, nil
}

// One message can become many tasks, and their results one answer.
func Example_fanOutFanIn() {
	rep, err := drakkartest.Try(context.Background(), drakkar.NewPipeline(Counter{}),
		drakkartest.Binary("grep"),
		drakkartest.Message(Query{ID: "q1", Patterns: []string{"a", "b"}, Text: "a\nb\nab\nc\na\n"}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("tasks:", len(rep.Tasks))
	for _, p := range rep.Outputs.Postgres {
		fmt.Println(p.Table, p.Data)
	}
	// Output:
	// tasks: 2
	// answers {q1 map[a:3 b:2]}
}
