package main

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// asProgram makes the test's binary the program itself.
const asProgram = "DRAKKARTEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program runs the command in a process of its own.
func program(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env, cmd.Dir = []string{asProgram + "=1"}, t.TempDir()
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// The command is ingest and nothing else: it has no role to choose, and needs no
// handler to say what is wrong with its settings.
func TestIngest(t *testing.T) {
	t.Parallel()

	code, out, errOut := program(t, "-help")
	require.Zero(t, code)
	require.Contains(t, out, "-config")
	require.NotContains(t, out, "-role")
	require.Empty(t, errOut)

	code, out, errOut = program(t, "-role", "executor")
	require.Equal(t, 2, code)
	require.Empty(t, out)
	require.Contains(t, errOut, "flag provided but not defined: -role")

	code, _, errOut = program(t, "-config", "/no/such/file")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "drakkar: reading the configuration: open /no/such/file")
}
