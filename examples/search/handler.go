package main

import (
	"bytes"
	"context"

	"github.com/drakkar-go/drakkar"
)

// Request asks how often patterns occur below a directory.
type Request struct {
	RequestID string   `json:"request_id"`
	Patterns  []string `json:"patterns"`
	Dir       string   `json:"dir"`
}

// Match is the answer to one pattern.
type Match struct {
	RequestID string  `json:"request_id"`
	Pattern   string  `json:"pattern"`
	Matches   int     `json:"matches"`
	Seconds   float64 `json:"seconds"`
}

// Summary is the answer to a request.
type Summary struct {
	RequestID string  `json:"request_id"`
	Patterns  int     `json:"patterns"`
	Matches   int     `json:"matches"`
	Seconds   float64 `json:"seconds"`
}

// Handler runs one grep for each pattern of a request, sends each answer to
// Kafka, and writes a line about each request to a file.
type Handler struct{}

// Arrange makes one task for each pattern.
func (h *Handler) Arrange(_ context.Context, w drakkar.Window[Request]) ([]drakkar.Task, error) {
	var tasks []drakkar.Task
	for _, m := range w.Messages {
		for _, pattern := range m.Payload.Patterns {
			t := m.Task("-r", "-n", "--include=*.go", "-E", "-e", pattern, m.Payload.Dir)
			t.Metadata = map[string]any{"request_id": m.Payload.RequestID, "pattern": pattern}
			t.Labels = map[string]string{"request": m.Payload.RequestID}
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// OnTaskComplete sends the answer to a pattern.
func (h *Handler) OnTaskComplete(_ context.Context, r drakkar.Result) (drakkar.CollectResult, error) {
	m := Match{
		RequestID: text(r, "request_id"), Pattern: text(r, "pattern"),
		Matches: bytes.Count(r.Stdout, []byte("\n")), Seconds: r.Duration.Seconds(),
	}
	return drakkar.CollectResult{
		Kafka: []drakkar.KafkaPayload{{Data: m, Key: []byte(m.RequestID)}},
	}, nil
}

// OnMessageComplete writes a line about the request, if it asked for anything.
func (h *Handler) OnMessageComplete(_ context.Context, g drakkar.MessageGroup[Request]) (drakkar.CollectResult, error) {
	if len(g.Tasks) == 0 {
		return drakkar.CollectResult{}, nil
	}
	s := Summary{RequestID: g.Message.Payload.RequestID, Patterns: g.Succeeded(), Seconds: g.Duration().Seconds()}
	for _, r := range g.Results {
		s.Matches += bytes.Count(r.Stdout, []byte("\n"))
	}
	return drakkar.CollectResult{Files: []drakkar.FilePayload{{Data: s, Path: "requests.jsonl"}}}, nil
}

// OnError knows that grep ends with 1 when it found nothing: an answer, not a
// failure. Anything else is tried again.
func (h *Handler) OnError(_ context.Context, t drakkar.Task, e drakkar.TaskError) drakkar.ErrorAction {
	if e.Kind == drakkar.TaskExit && e.Result.ExitCode == 1 {
		t.Precomputed = &drakkar.Precomputed{Duration: e.Result.Duration}
		return drakkar.Replace(t)
	}
	return drakkar.Retry(0)
}

func text(r drakkar.Result, key string) string {
	s, _ := r.Task.Metadata[key].(string)
	return s
}
