package ingest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/integration/model"
)

var runModel = flag.Bool("model", false, "explore the protocol instead of running tests; bounds follow --")

// exploreModel is the whole of make model.
func exploreModel(args []string) int {
	b := model.Defaults()
	fs := flag.NewFlagSet("make model", flag.ContinueOnError)
	b.Flags(fs)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	r, err := model.Explore(b, code(whole))
	if err == nil {
		err = r.Write(os.Stdout)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	case !r.Holds():
		return 1
	default:
		return 0
	}
}

// Whatever two owners, Kafka, Temporal and an operator do within the bounds:
// nothing that is committed is unfinished, no chain forks, nothing that is
// finished runs twice. make model goes further.
func TestModel(t *testing.T) {
	t.Parallel()

	b := model.Defaults()
	b.Messages, b.Rebalances, b.Troubles = 2, 2, 2
	r, err := model.Explore(b, code(whole))
	require.NoError(t, err)
	require.Empty(t, r.Wrong, "%q", r.Trace)
	require.True(t, r.Complete)
	t.Logf("%d states, %d steps, %d deep, %.1f s", r.States, r.Steps, r.Depth, r.Seconds)
}

// The exploration finds what is wrong with a protocol that lacks one of its
// rules, within bounds in which the whole one holds.
func TestModel_BrokenProtocol(t *testing.T) {
	t.Parallel()

	small := model.Bounds{Messages: 2, Window: 2, Rebalances: 2, Troubles: 3, States: 1_000_000, Workers: 2}
	for _, tt := range []struct {
		name   string
		broken broken
		bounds func(*model.Bounds)
		wrong  string
	}{
		{"RandomEpochs", randomEpochs, func(b *model.Bounds) { b.Losses, b.Late, b.Messages = 1, 1, 1 }, "twice: message 0"},
		{"IDsByFirstRecord", byFirstRecord, func(b *model.Bounds) { b.Losses, b.Compactions = 1, 1 }, "fork: windows"},
		{"NoWalk", noWalk, func(b *model.Bounds) { b.Crashes, b.Unanswered = 1, 1 }, "fork: windows"},
		{"MetadataTrustedBlindly", blindTrust, func(b *model.Bounds) { b.Resets = 1 }, "lost: offset"},
		{"ResultOfAnotherWindow", anyResult, func(b *model.Bounds) { b.Losses, b.Deletions = 1, 1 }, "lost: offset"},
		{"OpenWindowsToldAsFinished", allFinished, func(b *model.Bounds) { b.Deletions = 1 }, "lost: offset"},
		{"FinishedWindowsNotTold", forgetful, func(b *model.Bounds) { b.Deletions = 1 }, "twice: message 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b := small
			tt.bounds(&b)
			r, err := model.Explore(b, code(tt.broken))
			require.NoError(t, err)
			require.Contains(t, r.Wrong, tt.wrong)
			require.Len(t, r.Trace, r.Depth)
			t.Logf("%d states: %s, after %q", r.States, r.Wrong, r.Trace)

			r, err = model.Explore(b, code(whole))
			require.NoError(t, err)
			require.Empty(t, r.Wrong, "%q", r.Trace)
			require.True(t, r.Complete)
		})
	}
}
