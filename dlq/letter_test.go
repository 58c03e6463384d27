package dlq

import (
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

// letterOfEverything has a text of its own in every part.
func letterOfEverything(at time.Time) Envelope {
	return Envelope{
		V: Version, ID: "the-id", Kind: KindPayload, Class: "permanent", Error: "in-error", Written: at,
		Payload: &sinks.Payload{
			ID: "the-id", To: sinks.Ref{Type: sinks.Postgres, Name: "db"},
			Key: drakkar.Bytes("in-pkey"), Value: drakkar.Bytes("in-pvalue"), Target: "in-target", Topic: "in-topic",
		},
		Source: Source{
			Topic: "orders", Partition: 3, Offset: 100, Key: drakkar.Bytes("in-key"), Value: drakkar.Bytes("in-value"),
			Headers: []drakkar.Header{{Key: "in-header", Value: drakkar.Bytes("in-hvalue")}},
		},
		Task: &Task{
			Task:    drakkar.Task{ID: "in-task", Args: []string{"in-arg"}, Stdin: drakkar.Bytes("in-stdin")},
			Message: "in-message", Stdout: drakkar.Bytes("in-stdout"), Stderr: drakkar.Bytes("in-stderr"),
		},
	}
}
