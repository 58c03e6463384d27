package executor

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A pipe whose time is up before anybody has read it, as in a process that was
// held up itself.
func TestOutputPipe_LateReader(t *testing.T) {
	t.Parallel()

	setup := func(t *testing.T, max int) *outputPipe {
		t.Helper()

		o := &outputPipe{capture: capture{max: max}}
		require.NoError(t, o.open())
		t.Cleanup(o.closeAll)
		o.letGo(time.Now().Add(-time.Second))
		return o
	}

	t.Run("WhatTheProgramWroteIsKept", func(t *testing.T) {
		t.Parallel()

		o := setup(t, 1<<20)
		said := strings.Repeat("0123456789abcdef", pipeSize/16) // a full pipe
		_, err := o.theirs.WriteString(said)
		require.NoError(t, err)
		require.NoError(t, o.theirs.Close())
		o.pump()
		require.NoError(t, o.err)
		require.Equal(t, said, string(o.kept))
		require.False(t, o.held)
		require.False(t, o.truncated)
	})

	t.Run("NothingWritten", func(t *testing.T) {
		t.Parallel()

		o := setup(t, 10)
		require.NoError(t, o.theirs.Close())
		o.pump()
		require.NoError(t, o.err)
		require.Empty(t, o.kept)
		require.False(t, o.held)
	})

	t.Run("Limit", func(t *testing.T) {
		t.Parallel()

		o := setup(t, 2)
		_, err := o.theirs.WriteString("abc")
		require.NoError(t, err)
		require.NoError(t, o.theirs.Close())
		o.pump()
		require.NoError(t, o.err)
		require.Equal(t, "ab", string(o.kept))
		require.True(t, o.truncated)
	})

	t.Run("OthersHoldIt", func(t *testing.T) {
		t.Parallel()

		o := setup(t, 10)
		_, err := o.theirs.WriteString("abc")
		require.NoError(t, err)
		o.pump()
		require.NoError(t, o.err)
		require.Equal(t, "abc", string(o.kept))
		require.True(t, o.held)
	})

	t.Run("OthersWriteOn", func(t *testing.T) {
		t.Parallel()

		o := setup(t, 1<<30)
		_, err := o.theirs.WriteString("abc")
		require.NoError(t, err)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for more := make([]byte, 4096); err == nil; {
				_, err = o.theirs.Write(more)
			}
		}()
		o.pump() // which comes to an end
		<-gone   // nobody reads what they write
		require.NoError(t, o.err)
		require.Equal(t, "abc", string(o.kept[:3]))
		require.True(t, o.held)
	})
}
