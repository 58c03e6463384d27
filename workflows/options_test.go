package workflows

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Names of programs and sinks have no bound; what Temporal is given of them has.
func TestShort(t *testing.T) {
	t.Parallel()

	require.Equal(t, "rg ×25", short("rg ×25"))
	long := short(strings.Repeat("é", 1000))
	require.LessOrEqual(t, len(long), 200)
	require.True(t, utf8.ValidString(long))
}
