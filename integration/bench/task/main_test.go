package main

import (
	"bytes"
	"io"
	"strings"
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
		{"usage", []string{"resident", "anything"}},
		{"milliseconds", []string{"burn", "x"}},
		{"slots", []string{"loop", "x", "5", "/bin/true"}},
		{"count", []string{"loop", "2", "x", "/bin/true"}},
		{"exit status 1", []string{"loop", "2", "5", "/bin/false"}},
		{"no such file", []string{"loop", "2", "5", "/no/such/program"}},
	} {
		require.ErrorContains(t, run(tt.args), tt.want, "%v", tt.args)
	}
}

func TestResident(t *testing.T) {
	t.Parallel()

	var out bytes.Buffer
	require.NoError(t, resident(strings.NewReader(`{"id":1,"task":"a","args":["7"]}`+"\n"+`{"id":2,"task":"b","args":[]}`+"\n"), &out))
	require.Equal(t, `{"ready":1}`+"\n"+`{"id":1,"exit_code":0}`+"\n"+`{"id":2,"exit_code":0}`+"\n", out.String())
	require.ErrorContains(t, resident(strings.NewReader("no request\n"), io.Discard), "decoding a request")
}
