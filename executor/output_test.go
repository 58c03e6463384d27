package executor

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Read in pieces of any size or written, the first max bytes are kept and the
// flag says whether there were more.
func TestCapture_KeepsTheHead(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 3000).Draw(t, "max")
		data := bytes.Repeat([]byte("0123456789"), rapid.IntRange(0, 600).Draw(t, "tens"))
		want := data[:min(len(data), limit)]

		read := capture{max: limit}
		n, err := read.ReadFrom(iotest.HalfReader(bytes.NewReader(data)))
		require.NoError(t, err)
		require.EqualValues(t, len(data), n)
		written := capture{max: limit}
		for rest := data; len(rest) > 0; {
			piece := rest[:rapid.IntRange(1, len(rest)).Draw(t, "piece")]
			written.keep(piece)
			rest = rest[len(piece):]
		}
		for _, c := range []capture{read, written} {
			require.Equal(t, string(want), string(c.kept))
			require.Equal(t, len(data) > limit, c.truncated)
		}
		require.LessOrEqual(t, cap(read.kept), max(2*limit, 2*firstRead))
	})
}

func TestCapture_ReportsErrors(t *testing.T) {
	t.Parallel()

	broken := errors.New("broken")
	for _, limit := range []int{0, 100} {
		c := capture{max: limit}
		_, err := c.ReadFrom(iotest.ErrReader(broken))
		require.ErrorIs(t, err, broken)
	}
}

func TestFirstLine(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct{ output, want string }{
		{"", ""},
		{"\n \n", ""},
		{"one", "one"},
		{"\r\n  one \r\ntwo", "one"},
		{"bad \xff bytes", "bad  bytes"},
		{strings.Repeat("é", 150), strings.Repeat("é", 100)},
		{"x" + strings.Repeat("é", 150), "x" + strings.Repeat("é", 99)},
	} {
		require.Equal(t, tt.want, firstLine([]byte(tt.output)))
	}
}
