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

// The command runs what is written at handler.exec, and says so when nothing
// is.
func TestExecutorWorker(t *testing.T) {
	t.Parallel()

	code, out, errOut := program(t, "-help")
	require.Zero(t, code)
	require.Contains(t, out, "-role")
	require.Empty(t, errOut)

	code, _, errOut = program(t)
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "drakkar: handler.exec is missing: say there which program runs for each message")

	code, _, errOut = program(t, "drakkar.yaml")
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "the file with the settings is named by -config")
}
