// Package sinks holds what all sinks share: the contract, the routing of
// payloads to configured instances, the classes of failure, and the circuit
// breaker. Each kind of sink has a package of its own below this one, and all
// of them pass the conformance suite in sinkstest.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar"
)

// Type names a kind of sink, as it is written in the configuration.
type Type string

// The kinds of sinks.
const (
	Kafka      Type = "kafka"
	Postgres   Type = "postgres"
	Mongo      Type = "mongo"
	HTTP       Type = "http"
	Redis      Type = "redis"
	Filesystem Type = "filesystem"
	// Custom is every sink that an author brings along.
	Custom Type = "custom"
)

// Ref names a configured instance of a sink.
type Ref struct {
	Type Type   `json:"type"`
	Name string `json:"name"`
}

// String is "type:name".
func (r Ref) String() string { return string(r.Type) + ":" + r.Name }

// Payload is one delivery, encoded and routed: what a sink is given and what a
// dead letter keeps. It travels through Temporal's history as JSON.
type Payload struct {
	// ID is the same after any retry, crash or re-processing of the message:
	// a sink that can recognise it delivers the payload once.
	ID string `json:"id"`

	// To is the instance the payload goes to.
	To Ref `json:"to"`

	// Value is what is delivered, byte for byte. Nil is a Kafka tombstone.
	Value drakkar.Bytes `json:"value"`

	// Source is where the payload came from.
	Source drakkar.Source `json:"source"`

	// Key is the record's key (kafka, custom) or the key without its prefix
	// (redis).
	Key drakkar.Bytes `json:"key,omitzero"`

	// Topic and Partition are of kafka payloads. An empty topic is the sink's
	// own.
	Topic     string `json:"topic,omitempty"`
	Partition *int32 `json:"partition,omitempty"`

	// Headers are of kafka, http and custom payloads.
	Headers []drakkar.Header `json:"headers,omitempty"`

	// Target is the table, collection or path, or what a custom sink takes it
	// for.
	Target string `json:"target,omitempty"`

	// TTL is of redis payloads; 0 never expires.
	TTL time.Duration `json:"ttl,omitempty"`
}

// Sink delivers payloads to one instance of an outside system.
//
// It is made once at start and used by many goroutines at the same time.
// Deliver is called again after crashes, timeouts and transient failures with
// payloads that may have been delivered already; a sink that can make writing
// one ID twice look like writing it once does so.
type Sink interface {
	// Deliver writes the batch and returns nil only when every payload is
	// durable at the other side. Otherwise it returns a *DeliverError, which
	// names the payloads that failed; the others are durable. Any other error
	// means that the whole batch failed and may be tried again. It returns
	// soon after ctx ends. One bad payload does not take its batch along.
	Deliver(ctx context.Context, batch []Payload) error

	// Close gives back what the sink holds, waiting no longer than ctx. It is
	// called once no Deliver runs any more, possibly twice.
	Close(ctx context.Context) error
}

// Checker is implemented by sinks that can tell, without writing anything,
// whether the other side answers. It is called at start and by readiness
// probes; an error makes the process not ready.
type Checker interface {
	Check(ctx context.Context) error
}

// Validator is implemented by sinks that can refuse a payload before it is
// accepted into a window: a path outside of its base, a bad table name. It is
// pure. An error is an error of the hook which returned the payload.
type Validator interface {
	Validate(p Payload) error
}

// Class says what to do about a failed payload. The zero value means: try
// again, which is right whenever a sink is unsure.
type Class uint8

const (
	// Transient failures may pass: broken connections, timeouts, throttling.
	Transient Class = iota
	// Permanent failures will not: the payload itself is refused.
	Permanent
)

// String is "transient" or "permanent".
func (c Class) String() string {
	if c == Permanent {
		return "permanent"
	}
	return "transient"
}

// Failure is one payload that was not delivered.
type Failure struct {
	// Index is the payload's position in the batch.
	Index int
	Class Class
	// Err says why, without secrets.
	Err error
	// RetryAfter is how long the other side asked to be left alone; 0 when it
	// did not.
	RetryAfter time.Duration
}

// DeliverError names the payloads of a batch that failed.
type DeliverError struct {
	// Failures are ordered by Index, each index once.
	Failures []Failure
}

// Error implements error.
func (e *DeliverError) Error() string {
	if len(e.Failures) == 0 {
		return "no payload failed"
	}
	f := e.Failures[0]
	if len(e.Failures) == 1 {
		return fmt.Sprintf("payload %d: %s: %v", f.Index, f.Class, f.Err)
	}
	return fmt.Sprintf("%d payloads failed, first payload %d: %s: %v", len(e.Failures), f.Index, f.Class, f.Err)
}

// FailAll says that every payload of a batch of n failed for the same reason.
func FailAll(n int, class Class, err error) *DeliverError {
	e := &DeliverError{Failures: make([]Failure, n)}
	for i := range e.Failures {
		e.Failures[i] = Failure{Index: i, Class: class, Err: err}
	}
	return e
}

// Failures turns whatever Deliver returned for a batch of n into failures.
func Failures(n int, err error) []Failure {
	if err == nil {
		return nil
	}
	var de *DeliverError
	switch {
	case !errors.As(err, &de):
		return FailAll(n, Transient, err).Failures
	case de == nil: // nil in an error is not a nil error
		return FailAll(n, Transient, errors.New("the sink returned a nil *DeliverError")).Failures
	}
	return de.Failures
}
