package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPeak(t *testing.T) {
	t.Parallel()

	now := time.Now()
	var p peak
	require.Zero(t, p.value(now))
	p.observe(time.Second, now)
	p.observe(time.Millisecond, now)
	require.Equal(t, time.Second, p.value(now))
	require.Equal(t, 250*time.Millisecond, p.value(now.Add(2*peakHalf)))
	p.observe(300*time.Millisecond, now.Add(2*peakHalf))
	require.Equal(t, 300*time.Millisecond, p.value(now.Add(2*peakHalf)))
	require.Equal(t, 150*time.Millisecond, p.value(now.Add(3*peakHalf)))
}
