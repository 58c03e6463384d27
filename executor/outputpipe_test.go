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

	full := strings.Repeat("0123456789abcdef", pipeSize/16)
	for _, tt := range []struct {
		name       string
		max        int
		said, want string
		truncated  bool
	}{
		{"WhatTheProgramWroteIsKept", 1 << 20, full, full, false},
		{"NothingWritten", 10, "", "", false},
		{"Limit", 2, "abc", "ab", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			o := setup(t, tt.max)
			_, err := o.theirs.WriteString(tt.said)
			require.NoError(t, err)
			o.started()
			o.pump()
			require.NoError(t, o.err)
			require.Equal(t, tt.want, string(o.kept))
			require.Equal(t, tt.truncated, o.truncated)
			require.False(t, o.held)
		})
	}

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
