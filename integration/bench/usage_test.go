package bench

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseCPU(t *testing.T) {
	t.Parallel()

	c, err := parseCPU([]byte("42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 7 3 20 0 9 0 100 1 1\n"))
	require.NoError(t, err)
	require.Equal(t, cpu{own: 2 * time.Second, children: 100 * time.Millisecond}, c)
	require.Equal(t, 2100*time.Millisecond, c.sum())

	_, err = parseCPU([]byte("42 (a) S 1 42"))
	require.ErrorContains(t, err, "3 fields")
	_, err = parseCPU([]byte("42 (a) S 1 42 42 0 -1 4194560 1 2 3 4 x 50 7 3"))
	require.Error(t, err)
}

func TestParseBusy(t *testing.T) {
	t.Parallel()

	busy, err := parseBusy("cpu  100 10 200 9999 8888 5 6 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	require.NoError(t, err)
	require.Equal(t, 328*10*time.Millisecond, busy, "neither idle nor waiting for a disk")
	for _, text := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8 9", "cpu x 2 3 4 5 6 7 8 9"} {
		_, err := parseBusy(text)
		require.Error(t, err, text)
	}
}

func TestParseKB(t *testing.T) {
	t.Parallel()

	n, err := parseKB("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:")
	require.NoError(t, err)
	require.EqualValues(t, 2<<20, n)
	_, err = parseKB("Name:\tx\n", "VmRSS:")
	require.ErrorContains(t, err, "VmRSS")
	_, err = parseKB("VmRSS: much\n", "VmRSS:")
	require.Error(t, err)
}

// The files are those of a real process.
func TestRead(t *testing.T) {
	t.Parallel()

	n, err := readMemory(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, n, int64(1<<20))
	_, err = readCPU(os.Getpid())
	require.NoError(t, err)
	busy, err := readBusy()
	require.NoError(t, err)
	require.Positive(t, busy)

	_, err = readMemory(-1)
	require.Error(t, err)
	_, err = readCPU(-1)
	require.ErrorContains(t, err, "process -1")
}
