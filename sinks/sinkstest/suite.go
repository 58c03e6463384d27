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
	// Upserts is set when writing an id twice leaves one row.
	Upserts bool

	// AnyBytes is set when the sink keeps values that are not JSON, byte for
	// byte. Otherwise the suite delivers small JSON objects.
	AnyBytes bool

	// NoChecker says why the sink has no Check. Empty means that it must have
	// one.
	NoChecker string
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
	name string
	run  func(t T, caps Caps, h Harness)
}

// checks are all promises, alphabetical.
var checks = []check{
	{"BadPayloadIsAlone", badPayloadIsAlone},
	{"CancelledContextIsTransient", cancelledContextIsTransient},
	{"CheckDoesNotWrite", checkDoesNotWrite},
	{"CloseTwice", closeTwice},
	{"ConcurrentDeliver", concurrentDeliver},
	{"DeliversByteForByte", deliversByteForByte},
	{"EmptyBatch", emptyBatch},
	{"ErrorsKeepSecrets", errorsKeepSecrets},
	{"ManyPayloads", manyPayloads},
	{"OnlyBadPayloads", onlyBadPayloads},
	{"Redelivery", redelivery},
	{"SlowServer", slowServer},
	{"SurvivesRestart", survivesRestart},
	{"ValidateIsPure", validateIsPure},
}

// Exercise runs the whole suite. Open must return a fresh sink whose target
// nobody else uses; it is called once for each subtest, in parallel. Exercise
// closes the sinks.
func Exercise(t *testing.T, caps Caps, open func(t *testing.T) Harness) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()

			h := open(t)
			t.Cleanup(func() { h.close(t) })
			c.run(t, caps, h)
		})
	}
}
