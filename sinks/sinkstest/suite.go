// Package sinkstest is the conformance suite of sinks: what every sink
// promises, as tests. The tests of a sink are mostly a call of Exercise with a
// function that opens the sink and reads back what it holds.
package sinkstest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

// Caps states what a sink promises beyond the contract.
type Caps struct {
	// Upserts is set when writing an id twice leaves one row. Otherwise say in
	// NoUpserts why not.
	Upserts   bool
	NoUpserts string

	// AnyBytes is set when the sink keeps values that are not JSON, byte for
	// byte. Otherwise the suite delivers small JSON objects.
	AnyBytes bool

	// NoChecker says why the sink has no Check. Empty means that it must have
	// one.
	NoChecker string

	// Own opens a sink whose server belongs to the test: its harness has Kill
	// and Restart. Nil skips the test: say why in NoOwn.
	Own   func(t *testing.T) Harness
	NoOwn string

	// NotShown are promises which the server of the tests cannot show, by name,
	// and why. They are only reported.
	NotShown map[string]string

	// Report is told what became of every promise once all of them were
	// checked and none is broken. Optional.
	Report func(t *testing.T, outcomes []Outcome)
}

// Outcome is what became of a promise.
type Outcome struct {
	// Name is the name of the check, Promise what it is about.
	Name    string `json:"name"`
	Promise string `json:"promise,omitempty"`
	// Waived says why the sink does not make the promise; empty when it keeps
	// it.
	Waived string `json:"waived,omitempty"`
}

// Harness is one sink with a target of its own.
type Harness struct {
	Sink sinks.Sink

	// Payload returns what the i-th payload needs besides its id and value to
	// be accepted: table, key, path. Different i may mean different rows, not
	// different targets. Nil means nothing.
	Payload func(i int) sinks.Payload

	// Value returns the value of the i-th payload. Nil means
	// {"n":<i>,"text":"..."}.
	Value func(i int) drakkar.Bytes

	// Rows returns the values that the other side holds, in any order and
	// encoded exactly as the payloads' values were.
	Rows func(t T) [][]byte

	// Bad returns a payload that the sink must refuse for good, id and value
	// included as far as they matter. Nil skips the tests about them: say why
	// in NoBad.
	Bad   func(i int) sinks.Payload
	NoBad string

	// Secrets must appear in no error: passwords, tokens.
	Secrets []string

	// Down makes the other side unreachable and Up brings it back, with its
	// data. Nil skips the test: say why in NoDown.
	Down   func(t T)
	Up     func(t T)
	NoDown string

	// Stall makes the other side accept connections and not answer, until
	// resume. Nil skips the test: say why in NoStall.
	Stall   func(t T) (resume func())
	NoStall string

	// Kill ends the server like a power failure, and Restart starts it again at
	// the same address. Only those that Caps.Own opens have them.
	Kill    func(t T)
	Restart func(t T)
}

// T is what the checks need of *testing.T.
type T interface {
	require.TestingT
	Helper()
	Context() context.Context
	Skip(args ...any)
}

// check is one promise. Each runs against a harness of its own.
type check struct {
	name    string
	promise string
	run     func(t T, caps Caps, h Harness)
}

// checks are all promises, alphabetical.
var checks = []check{
	{"BadPayloadIsAlone", "a bad payload is named and does not take its batch along", badPayloadIsAlone},
	{"CancelledContextIsTransient", "a delivery that is called off may be tried again", cancelledContextIsTransient},
	{"CheckDoesNotWrite", "Check answers and writes nothing", checkDoesNotWrite},
	{"CloseTwice", "Close can be called twice", closeTwice},
	{"ConcurrentDeliver", "many deliveries at the same time", concurrentDeliver},
	{"DeliversByteForByte", "every payload arrives byte for byte", deliversByteForByte},
	{"EmptyBatch", "an empty batch is nothing", emptyBatch},
	{"ErrorsKeepSecrets", "no secret in any error or log line", errorsKeepSecrets},
	{killedMidBatchName, "a server that is killed mid-batch and started again loses nothing", killedMidBatch},
	{"ManyPayloads", "10,000 payloads in batches", manyPayloads},
	{"OnlyBadPayloads", "a batch of bad payloads fails for good", onlyBadPayloads},
	{"Redelivery", "a payload that is delivered again is there once", redelivery},
	{"SlowServer", "a server that does not answer holds nobody beyond the deadline", slowServer},
	{"SurvivesRestart", "a server that comes back is delivered to again", survivesRestart},
	{"ValidateIsPure", "Validate writes nothing", validateIsPure},
}

// killedMidBatchName is the check that runs against a server of its own.
const killedMidBatchName = "KilledMidBatch"

// Exercise runs the whole suite. Open must return a fresh sink whose target
// nobody else uses; it is called once for each subtest, in parallel. Exercise
// closes the sinks.
func Exercise(t *testing.T, caps Caps, open func(t *testing.T) Harness) {
	t.Helper()
	report := newReport(caps)
	t.Cleanup(func() { report.end(t) })
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()

			open := open
			if c.name == killedMidBatchName {
				if caps.Own == nil {
					report.add(c, caps.NoOwn)
					t.Skip("no server belongs to the test: " + caps.NoOwn)
				}
				open = caps.Own
			}
			h := open(t)
			t.Cleanup(func() { h.close(t) })
			observed := &observedT{T: t}
			defer func() {
				if !t.Skipped() || observed.waived != "" {
					report.add(c, observed.waived)
				}
			}()
			c.run(observed, caps, h)
		})
	}
}
