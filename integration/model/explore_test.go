package model

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// careless reads from the committed offset on, starts windows, and commits what
// it has started.
type careless struct {
	names   *Names
	asks    Kind
	next    int8
	queued  int8
	started int8
	commits bool
}

func (c *careless) Apply(e Event) {
	switch e.Kind {
	case Committed:
		c.asks, c.next, c.started = Nothing, max(0, e.A), max(0, e.A)
	case Poll:
		c.next, c.queued = e.A+1, c.queued+1
	case Cut:
		c.asks = Start
	case Start:
		c.asks, c.queued, c.started = Nothing, 0, c.next
	case Failed:
		c.asks = Nothing
	}
}

func (c *careless) View() View {
	v := View{Running: c.asks != Committed, Ask: Ask{Kind: c.asks}, Next: c.next, Queued: c.queued, Due: Position{Offset: none}}
	if c.commits {
		v.Due = Position{Offset: c.started}
	}
	if c.asks == Start {
		v.Ask = Ask{Kind: Start, Link: Link{c.names.ID("e"), c.started}, Last: c.next - 1, Mask: within(c.started, c.next-1)}
	}
	return v
}

func (c *careless) Print() string { return fmt.Sprint(*c) }

func TestExplore(t *testing.T) {
	t.Parallel()

	run := func(t *testing.T, commits bool, change func(*Bounds)) Result {
		t.Helper()

		b := Bounds{Messages: 2, Window: 1, Rebalances: 1, States: 100_000, Workers: 2}
		change(&b)
		names := &Names{}
		r, err := Explore(b, Code{Names: names, Begin: func(int) Machine {
			return &careless{names: names, asks: Committed, commits: commits}
		}})
		require.NoError(t, err)
		return r
	}

	// The log is at rest here, so when records are read is no step.
	t.Run("FindsTheShortestWay", func(t *testing.T) {
		t.Parallel()

		r := run(t, true, func(*Bounds) {})
		require.Equal(t, "lost: offset 1 is committed, message 0 is not finished", r.Wrong)
		require.Equal(t, []string{
			"group gives the partition to owner 0",
			"owner 0 reads the committed offset: -1 ",
			"owner 0 starts e/0 (0..0)",
			"owner 0 is revoked",
		}, r.Trace)
		require.Len(t, r.Trace, r.Depth)
		require.False(t, r.Complete)
	})

	t.Run("GoesThroughEverything", func(t *testing.T) {
		t.Parallel()

		r := run(t, false, func(*Bounds) {})
		require.Empty(t, r.Wrong)
		require.True(t, r.Complete)
		require.Equal(t, r, withSeconds(run(t, false, func(b *Bounds) { b.Workers = 1 }), r))
	})

	t.Run("GivesUp", func(t *testing.T) {
		t.Parallel()

		r := run(t, false, func(b *Bounds) { b.States = 5 })
		require.True(t, r.Holds())
		require.False(t, r.Complete)
		require.Less(t, r.States, 20)
	})

	t.Run("Bounds", func(t *testing.T) {
		t.Parallel()

		b := Defaults()
		b.Messages, b.Deletions, b.Window, b.Resets = 9, 3, 0, -1
		_, err := Explore(b, Code{})
		for _, want := range []string{"messages: 9", "deletions: 3", "window, workers and states", "resets: -1"} {
			require.ErrorContains(t, err, want)
		}
	})

	t.Run("Write", func(t *testing.T) {
		t.Parallel()

		var out bytes.Buffer
		require.NoError(t, run(t, true, func(*Bounds) {}).Write(&out))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		var last Result
		require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last))
		require.Contains(t, last.Wrong, "lost: ")
		require.Contains(t, out.String(), "   1  group gives the partition to owner 0\n")
		require.Contains(t, out.String(), "result: a promise is broken\n")
	})
}

func TestBounds_Flags(t *testing.T) {
	t.Parallel()

	b := Defaults()
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	b.Flags(fs)
	require.NoError(t, fs.Parse([]string{"-messages", "5", "-crashes=0"}))
	require.Equal(t, 5, b.Messages)
	require.Equal(t, 0, b.Crashes)
	require.Equal(t, Defaults().Window, b.Window)
	require.NoError(t, b.validate())
}

func withSeconds(r, like Result) Result {
	r.Bounds, r.Seconds = like.Bounds, like.Seconds
	return r
}
