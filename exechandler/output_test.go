package exechandler

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/drakkartest"
)

// texts are the outputs that stdout is cut into.
func texts(t require.TestingT, mode, stdout string) []string {
	parts, err := split(mode, drakkar.Bytes(stdout))
	require.NoError(t, err)
	out := []string{}
	for _, p := range parts {
		require.NotNil(t, p.text)
		out = append(out, string(p.text))
	}
	return out
}

func TestLines(t *testing.T) {
	t.Parallel()

	for stdout, want := range map[string][]string{
		"a":                {"a"},
		"a\n":              {"a"},
		"a\r\n":            {"a"},
		"a\r\nb":           {"a", "b"},
		"\n\n\n":           {},
		"\r\n\r\n":         {},
		"a\n\n\nb\n":       {"a", "b"},
		"a\rb\n":           {"a\rb"}, // a progress bar is one line
		"a\r\r\n":          {"a\r"},
		"\x20\n":           {" "},
		"\x00\n\xff\xfe\n": {"\x00", "\xff\xfe"},
		"a\u2028b\n":       {"a\u2028b"},
		"\ufeffa\n":        {"\ufeffa"},
	} {
		require.Equal(t, want, texts(t, "lines", stdout), "%q", stdout)
	}
	long := strings.Repeat("x", 1<<20)
	require.Equal(t, []string{long, "b"}, texts(t, "lines", long+"\nb"), "a line has no limit of its own")
	require.Len(t, texts(t, "lines", strings.Repeat("a\n", 100_000)), 100_000)
}

// Lines that hold no newline come out as they went in, however they are ended.
func TestLinesComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`[^\r\n]+`)).Draw(t, "lines")
		end := rapid.SampledFrom([]string{"\n", "\r\n", "\n\n", "\r\n\n"}).Draw(t, "end")
		require.Equal(t, append([]string{}, lines...), texts(t, "lines", strings.Join(lines, end)))
		require.Equal(t, append([]string{}, lines...), texts(t, "lines", strings.Join(lines, end)+end))
	})
}

// Values of JSON are found however they are written, and each is written
// compactly.
func TestJSONValuesComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		texted := rapid.SliceOf(rapid.String()).Draw(t, "texts")
		indent := rapid.SampledFrom([]string{"", " ", "\t", "\r\n"}).Draw(t, "between")
		var stdout bytes.Buffer
		want := []string{}
		for i, text := range texted {
			value, err := json.Marshal(map[string]any{"text": text, "n": i, "none": nil})
			require.NoError(t, err)
			want = append(want, string(value))
			require.NoError(t, json.Indent(&stdout, value, indent, "  "))
			stdout.WriteString(indent)
		}
		got := texts(t, "json", stdout.String())
		require.Len(t, got, len(want))
		for i := range want {
			require.JSONEq(t, want[i], got[i])
			require.NotContains(t, got[i], "\n")
		}
	})
}

func TestJSONOutput(t *testing.T) {
	t.Parallel()

	for stdout, want := range map[string][]string{
		"":                      {},
		"\n":                    {},
		"1 2\n3":                {"1", "2", "3"},
		"{}{}[][]":              {"{}", "{}", "[]", "[]"},
		"null\ntrue":            {"null", "true"},
		`"a\u00e9"`:             {`"a\u00e9"`}, // as the program wrote it
		"{\r\n\"a\" : 1\r\n}":   {`{"a":1}`},
		`{"a":1.500,"a":1E+02}`: {`{"a":1.500,"a":1E+02}`},
	} {
		require.Equal(t, want, texts(t, "json", stdout), "%q", stdout)
	}
	for stdout, behind := range map[string]string{
		"x": "behind 0 values", "{}\nx": "behind 1 values", `{"a":`: "behind 0 values", "1 2 [": "behind 2 values",
		"\ufeff{}": "behind 0 values", "NaN": "behind 0 values", "{} // done": "behind 1 values",
	} {
		_, err := split("json", drakkar.Bytes(stdout))
		require.ErrorContains(t, err, "reading stdout as JSON, "+behind, "%q", stdout)
	}
}

// Each exit code of a real program means one thing, for each on_failure.
func TestEveryExitCode(t *testing.T) {
	t.Parallel()

	for _, onFailure := range []string{"retry", "dlq", "skip"} {
		cfg := shell(`echo out; case "$1" in signal) kill -9 $$;; *) exit "$1";; esac`, func(c *config.ExecHandler) {
			c.Args[len(c.Args)-1] = "{{.Value}}"
			c.SuccessCodes, c.RetryCodes, c.SkipCodes, c.OnFailure = []int{10, 0}, []int{20}, []int{30}, onFailure
		})
		given := map[string][]string{"retry": {"retry", "dead_letter"}, "dlq": {"dead_letter"}, "skip": {"skip"}}[onFailure]
		for value, want := range map[string][]string{
			`"0"`: nil, `"10"`: {"replace"}, `"20"`: {"retry", "dead_letter"}, `"30"`: {"skip"}, `"1"`: given, `"127"`: given, `"255"`: given, `"signal"`: given,
		} {
			t.Run(onFailure+"/"+value, func(t *testing.T) {
				t.Parallel()
				rep := run(t, cfg, drakkartest.Message(value), drakkartest.Attempts(2))
				require.Equal(t, want, actions(rep))
				require.Empty(t, rep.HookErrors)
				delivered := want == nil || want[0] == "replace"
				if delivered {
					require.Equal(t, []string{"out\n"}, values(rep))
				} else {
					require.Zero(t, rep.Outputs.Len(), "nothing of a program that failed is delivered")
				}
				last := ""
				if len(want) > 0 {
					last = want[len(want)-1]
				}
				require.Equal(t, last == "dead_letter", len(rep.DeadLetters) == 1)
			})
		}
	}
}

// What follows a program that is not there, or may not be run, is decided at
// once: trying again would fail alike.
func TestProgramsThatCannotBeStarted(t *testing.T) {
	t.Parallel()

	for onFailure, want := range map[string]string{"retry": "dead_letter", "dlq": "dead_letter", "skip": "skip"} {
		cfg := shell("", func(c *config.ExecHandler) { c.Binary, c.OnFailure = "/dev/null", onFailure })
		rep := run(t, cfg, drakkartest.Message("{}"), drakkartest.Runner(func(task drakkar.Task) (drakkar.Result, error) {
			return drakkar.Result{}, drakkar.TaskError{Kind: drakkar.TaskStart, Message: "not executable", Result: drakkar.Result{Task: task, ExitCode: -1}}
		}))
		require.Equal(t, []string{want}, actions(rep), onFailure)
	}
}

// A program whose further exit code means success is told apart in the
// deliveries, and its output is as complete as that of any other.
func TestSuccessCodesKeepWhatIsKnown(t *testing.T) {
	t.Parallel()

	cfg := shell("", func(c *config.ExecHandler) {
		c.SuccessCodes = []int{1}
		c.Deliver[0].Data = "{{.ExitCode}}|{{.DurationSeconds}}|{{.Stderr}}|{{.Output}}|{{.Key}}"
	})
	rep := run(t, cfg, drakkartest.Message("{}", drakkartest.Key("k\xff")), faked(drakkar.Result{
		ExitCode: 1, Stdout: drakkar.Bytes("o\xff"), Stderr: drakkar.Bytes("e\xff"), Duration: 1500 * time.Millisecond,
	}))
	rep.RequireNoErrors(t)
	require.Equal(t, []string{"1|1.5|e\xff|o\xff|k\xff"}, values(rep))
	require.Len(t, rep.Results, 1, "the task and its replacement count as one success")
}

// What a task carries arrives as it was packed, with nothing and empty told
// apart, after it has travelled as JSON.
func TestLuggageTravels(t *testing.T) {
	t.Parallel()

	bytesOf := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 20))
	rapid.Check(t, func(t *rapid.T) {
		rec := drakkar.Record{
			Topic: rapid.String().Draw(t, "topic"), Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64Range(0, 1<<62).Draw(t, "offset"),
			Key: bytesOf.Draw(t, "key"), Value: bytesOf.Draw(t, "value"),
		}
		if rapid.Bool().Draw(t, "dated") {
			rec.Timestamp = time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "at")).UTC()
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			rec.Headers = append(rec.Headers, drakkar.Header{Key: rapid.String().Draw(t, "name"), Value: bytesOf.Draw(t, "header")})
		}
		all := fields{}
		for _, name := range messageFields(config.ExecHandler{}) {
			all[name] = true
		}
		sent := drakkar.Task{SourceOffsets: []int64{rec.Offset}}
		carry(&sent, pack(drakkar.Message[any]{Record: rec}, all))
		data, err := json.Marshal(sent.Metadata)
		require.NoError(t, err)
		got := drakkar.Task{SourceOffsets: sent.SourceOffsets}
		require.NoError(t, json.Unmarshal(data, &got.Metadata))
		l, err := luggageOf(got)
		require.NoError(t, err)
		require.Equal(t, rec, l.record(got))
	})
}

// A task that another version has packed, or that somebody has changed in
// Temporal, is an error of its hook and no crash.
func TestForeignLuggage(t *testing.T) {
	t.Parallel()

	h, err := newHandler(shell("", nil), "")
	require.NoError(t, err)
	for _, foreign := range []any{"text", 7, []any{}, map[string]any{"value": 7}, map[string]any{"headers": "x"}, map[string]any{"exit_code": "x"}} {
		task := drakkar.Task{ID: "t-1", Metadata: map[string]any{luggageKey: foreign}}
		_, err := h.OnTaskComplete(t.Context(), drakkar.Result{Task: task})
		require.ErrorContains(t, err, "reading what task t-1 carries", "%v", foreign)
		require.True(t, h.OnError(t.Context(), task, drakkar.TaskError{Kind: drakkar.TaskExit}).IsDeadLetter())
	}
	task := drakkar.Task{ID: "t-1", Metadata: map[string]any{"other": 1}}
	_, err = h.OnTaskComplete(t.Context(), drakkar.Result{Task: task})
	require.NoError(t, err, "metadata of others is left alone")
}

// The example that is shown to users works as it is shown.
func TestTheExample(t *testing.T) {
	t.Parallel()

	cfg, warnings, err := config.Load(config.LoadOptions{Path: "../examples/exec/drakkar.yaml"})
	require.NoError(t, err)
	require.Empty(t, warnings)
	p, err := New(*cfg.Handler.Exec, cfg.Executor.BinaryPath)
	require.NoError(t, err)
	file := t.TempDir() + "/passwd"
	writeFile(t, file, "root:x:0\nbin:x:1\nroot2:x:2\n")
	at := time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC)
	message := func(v map[string]any) drakkartest.Input { return drakkartest.Message(v, drakkartest.Timestamp(at)) }
	rep := drakkartest.RunPipeline(t, p,
		message(map[string]any{"pattern": "^root", "file": file, "limit": 1}),
		message(map[string]any{"pattern": "^root", "file": file}),
		message(map[string]any{"pattern": "nobody", "file": file}),
		message(map[string]any{"pattern": "^root", "file": "/no/such/file"}),
		message(map[string]any{"file": file}),
	)
	var lines []string
	for _, v := range values(rep) {
		var line struct {
			File string `json:"file"`
			Line string `json:"line"`
		}
		require.NoError(t, json.Unmarshal([]byte(v), &line), v)
		require.Equal(t, file, line.File)
		lines = append(lines, line.Line)
	}
	require.ElementsMatch(t, []string{"1:root:x:0", "1:root:x:0", "3:root2:x:2"}, lines)
	require.Len(t, rep.Outputs.Files, 3)
	for _, f := range rep.Outputs.Files {
		require.Equal(t, "2026-03-01.jsonl", f.Path)
		require.True(t, json.Valid(f.Data.(drakkar.Bytes)))
	}
	require.Len(t, rep.DeadLetters, 2)
	require.ErrorContains(t, rep.Err(), "handler.exec.args[2]")
}
