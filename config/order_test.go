package config

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const manyProblems = `kafka:
  brokers: [a]
  heartbeat_interval: 9s
  nope: 1
executor:
  window_size: 0
  env: {A: , B: , C: }
sinks:
  postgres: {z: {}, y: {dsn: x, pool_min: 50}, x: {pol: 1}}
  redis: {b: {url: x}, a: {url: y}, c: {batch_size: 0}}
  http: {b: {url: ftp://x}, a: {url: http://169.254.169.254}}
dlq: {topic: input-events}
metrics: {port: 8080}
ports: {offset: 60001}
handler: {exec: {success_codes: [1], skip_codes: [1, 300], deliver: [{type: kafka}, {type: redis}, {}]}}
`

// The same mistakes give the same text each time and on each machine, so that
// two runs can be compared: by line in the file, then by variable.
func TestProblemsHaveAnOrder(t *testing.T) {
	t.Parallel()

	environ := []string{
		"DRAKKAR_NOPE=1", "DRAKKAR_INGEST__COMMIT_INTERVAL=5", "DRAKKAR_LOGGING__LEVEL=LOUD", "DRAKKAR_WINDOWS={",
		`DRAKKAR_HOOKS={"timeout":"1","nope":2,"max_attempts":0}`, "DRAKKAR_SINKS__REDIS__D__URL=q",
	}
	first := problemsOf(t, manyProblems, environ...)
	require.Greater(t, len(first), 25)
	for range 20 {
		rand.Shuffle(len(environ), func(i, j int) { environ[i], environ[j] = environ[j], environ[i] })
		require.Equal(t, first, problemsOf(t, manyProblems, environ...))
	}

	_, _, err := Parse([]byte(manyProblems), "f.yaml", environ)
	var problems Problems
	require.ErrorAs(t, err, &problems)
	lastOfFile := 0
	for i, p := range problems {
		if p.File != "" {
			require.Equal(t, i, lastOfFile, "problems of the file stand together, and first")
			lastOfFile++
		}
	}
	require.True(t, slices.IsSortedFunc(problems[:lastOfFile], func(a, b Problem) int { return a.Line - b.Line }))
	require.True(t, slices.IsSortedFunc(problems[lastOfFile:], func(a, b Problem) int { return strings.Compare(a.Key, b.Key) }))
	require.Equal(t, strings.Join(first, "\n"), err.Error())
}

// A setting is told about once: what follows from a value that is wrong by
// itself is not told too.
func TestNoSettingIsBlamedTwice(t *testing.T) {
	t.Parallel()

	seen := map[string]bool{}
	for _, line := range problemsOf(t, manyProblems) {
		key, _, _ := strings.Cut(line, ": ")
		require.False(t, seen[key], line)
		seen[key] = true
	}
}

func TestWarningsHaveAnOrder(t *testing.T) {
	t.Parallel()

	var file strings.Builder
	var environ []string
	file.WriteString("kafka: {max_poll_records: 1}\ndebug:\n")
	for key := range retired {
		if name, ok := strings.CutPrefix(key, "debug."); ok {
			fmt.Fprintf(&file, "  %s: 1\n", name)
			environ = append(environ, "DRAKKAR_DEBUG__"+strings.ToUpper(name)+"=1")
		}
	}
	warningsOf := func() (lines []string) {
		_, warnings, err := Parse([]byte(file.String()), "f.yaml", environ)
		require.NoError(t, err)
		for _, w := range warnings {
			lines = append(lines, w.String())
		}
		return lines
	}
	first := warningsOf()
	require.Len(t, first, 2*len(environ)+1)
	for range 10 {
		rand.Shuffle(len(environ), func(i, j int) { environ[i], environ[j] = environ[j], environ[i] })
		require.Equal(t, first, warningsOf())
	}
}

// Problems reach a caller that looks for one, and can be read one by one.
func TestProblemsAsErrors(t *testing.T) {
	t.Parallel()

	_, _, err := Parse([]byte("executor:\n  window_size: 0\n  max_executors: 0\n"), "f.yaml", nil)
	var one Problem
	require.ErrorAs(t, err, &one)
	require.Equal(t, Problem{Key: "executor.window_size", Text: "0 is outside 1..10000", File: "f.yaml", Line: 2}, one)
	require.ErrorIs(t, fmt.Errorf("starting: %w", err), one)
	require.Equal(t, 1, strings.Count(err.Error(), "\n"))

	require.Equal(t, "a: b", Problem{Key: "a", Text: "b"}.Error())
	require.Equal(t, "a: b (f)", Problem{Key: "a", Text: "b", File: "f"}.Error())
	require.Equal(t, "a: b (f:3)", Warning{Key: "a", Text: "b", File: "f", Line: 3}.String())
}
