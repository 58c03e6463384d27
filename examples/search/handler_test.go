package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/drakkartest"
)

// tree is a directory with sources to search.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	for name, text := range map[string]string{
		"a.go": "package a\n\nfunc F() {}\nfunc G() {}\n", "sub/b.go": "package b\n// func in a comment\n", "c.txt": "func not in Go\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func search(t *testing.T, inputs ...drakkartest.Input) *drakkartest.Report {
	t.Helper()
	return drakkartest.Run(t, &Handler{}, append(inputs, drakkartest.Binary("grep"))...)
}

// Each pattern of a request is one task and one answer, keyed by the request.
func TestSearch(t *testing.T) {
	t.Parallel()

	dir := tree(t)
	rep := search(t,
		drakkartest.Message(Request{RequestID: "r1", Patterns: []string{"func", "^package (a|b)$", "nowhere"}, Dir: dir}),
		drakkartest.Message(Request{RequestID: "r2", Patterns: []string{"-n"}, Dir: dir}),
	)
	rep.RequireNoErrors(t)
	require.Len(t, rep.Outputs.Kafka, 4)
	found := map[string]int{}
	for _, p := range rep.Outputs.Kafka {
		m, ok := p.Data.(Match)
		require.True(t, ok)
		require.Equal(t, m.RequestID, string(p.Key))
		found[m.RequestID+" "+m.Pattern] = m.Matches
	}
	require.Equal(t, map[string]int{"r1 func": 3, "r1 ^package (a|b)$": 2, "r1 nowhere": 0, "r2 -n": 0}, found,
		"files other than Go's are left out, and a pattern is never an option")
}

// A request has one line in the file, whatever the number of its patterns.
func TestSummary(t *testing.T) {
	t.Parallel()

	dir := tree(t)
	rep := search(t,
		drakkartest.Message(Request{RequestID: "r1", Patterns: []string{"func", "package"}, Dir: dir}),
		drakkartest.Message(Request{RequestID: "none", Dir: dir}),
	)
	rep.RequireNoErrors(t)
	got := map[string][2]int{}
	for _, f := range rep.Outputs.Files {
		require.Equal(t, "requests.jsonl", f.Path)
		s, ok := f.Data.(Summary)
		require.True(t, ok)
		got[s.RequestID] = [2]int{s.Patterns, s.Matches}
	}
	require.Equal(t, [2]int{2, 5}, got["r1"])
	require.NotContains(t, got, "none", "a request without patterns has nothing to tell")
}

// Nothing found is an answer; a pattern that grep refuses is tried again, and
// then leaves the others of its request alone.
func TestFailures(t *testing.T) {
	t.Parallel()

	rep := search(t, drakkartest.Attempts(2), drakkartest.Message(Request{RequestID: "r1", Patterns: []string{"nowhere", "(", "func"}, Dir: tree(t)}))
	var actions []string
	for _, f := range rep.Failures {
		actions = append(actions, f.Action)
	}
	require.ElementsMatch(t, []string{"replace", "retry", "dead_letter"}, actions)
	require.Len(t, rep.Outputs.Kafka, 2)
	require.Len(t, rep.DeadLetters, 1)
	require.Empty(t, rep.HookErrors)
}

// OnError tells grep's two kinds of ends apart, and knows no other program's.
func TestOnError(t *testing.T) {
	t.Parallel()

	h := &Handler{}
	task := drakkar.Task{ID: "t", SourceOffsets: []int64{3}}
	ended := func(code int) drakkar.TaskError {
		return drakkar.TaskError{Kind: drakkar.TaskExit, Result: drakkar.Result{ExitCode: code}}
	}
	replaced, ok := h.OnError(t.Context(), task, ended(1)).IsReplace()
	require.True(t, ok)
	require.Len(t, replaced, 1)
	require.NotNil(t, replaced[0].Precomputed)
	for _, e := range []drakkar.TaskError{ended(2), ended(-1), {Kind: drakkar.TaskTimeout, Result: drakkar.Result{ExitCode: 1}}, {Kind: drakkar.TaskStart}} {
		_, retry := h.OnError(t.Context(), task, e).IsRetry()
		require.True(t, retry, "%v", e)
	}
}

// A handler whose hooks would not be called is refused at start: these are.
func TestHooksAreCalled(t *testing.T) {
	t.Parallel()

	p := drakkar.NewPipeline(&Handler{})
	require.NoError(t, p.Check())
	require.Equal(t, drakkar.Hooks{TaskComplete: true, MessageComplete: true, Error: true}, p.Hooks())
}
