package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func used(t *testing.T) time.Duration {
	t.Helper()

	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestBurn(t *testing.T) {
	t.Parallel()

	until := used(t) + 20*time.Millisecond
	require.NoError(t, burn(until))
	require.GreaterOrEqual(t, used(t), until)
}

func TestRun(t *testing.T) {
	t.Parallel()

	require.NoError(t, run([]string{"burn", "0", "anything"}))
	require.NoError(t, run([]string{"loop", "2", "5", "/bin/true", "1"}))
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"usage", nil},
		{"usage", []string{"loop", "2", "5"}},
		{"milliseconds", []string{"burn", "x"}},
		{"slots", []string{"loop", "x", "5", "/bin/true"}},
		{"count", []string{"loop", "2", "x", "/bin/true"}},
		{"exit status 1", []string{"loop", "2", "5", "/bin/false"}},
		{"no such file", []string{"loop", "2", "5", "/no/such/program"}},
	} {
		require.ErrorContains(t, run(tt.args), tt.want, "%v", tt.args)
	}
}
