package exechandler

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/drakkartest"
)

func TestCommand(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	full := drakkartest.Message(
		`{"id":9007199254740993,"name":"a b","tags":["x","y"],"deep":{"k":[1,null]},"none":null,"f":1.50,"yes":true,"html":"<&>","zero":0.0,"n":9}`,
		drakkartest.Offset(7), drakkartest.Key("k1"), drakkartest.Timestamp(at),
		drakkartest.Header("h", "first"), drakkartest.Header("h", "last"))
	for _, tt := range []struct {
		name     string
		template string
		want     string
	}{
		{"Text", "plain", "plain"},
		{"Nothing", "", ""},
		{"BigNumber", "{{.Value.id}}", "9007199254740993"},
		{"DigitsOfAFraction", "{{.Value.f}}", "1.50"},
		{"Bool", "{{.Value.yes}}", "true"},
		{"NoShell", "$(id) {{.Value.name}}; ls", "$(id) a b; ls"},
		{"NoEscaping", "{{.Value.html}}", "<&>"},
		{"ListAsJSON", "{{.Value.tags}}", `["x","y"]`},
		{"ObjectAsJSON", "{{.Value.deep}}", `{"k":[1,null]}`},
		{"JSON", "{{json .Value.name}} {{json .Value.none}} {{json .Value.html}}", `"a b" null "<&>"`},
		{"Raw", "{{len .Raw}}", "137"},
		{"Coordinates", "{{.Topic}}/{{.Partition}}@{{.Offset}}", "events/3@7"},
		{"Key", "{{.Key}}", "k1"},
		{"LastHeader", `{{.Header "h"}}`, "last"},
		{"Timestamp", "{{.Timestamp}} {{.Timestamp.Unix}}", "2026-03-01T12:00:00.000000005Z 1772366400"},
		{"DefaultOfNull", `{{default "all" .Value.none}}`, "all"},
		{"DefaultOfMissing", `{{default "all" (index .Value "scope")}}`, "all"},
		{"DefaultOfMissingHeader", `{{default "-" (.Header "other")}}`, "-"},
		{"DefaultNotNeeded", `{{default "all" .Value.name}}`, "a b"},
		{"Join", `{{join "," .Value.tags}}`, "x,y"},
		{"UpperLowerTrim", `{{upper .Value.name}}{{lower "AB"}}{{" c " | trim}}`, "A Babc"},
		{"Base64", `{{base64 .Value.name}}`, "YSBi"},
		{"NumberCompares", `{{if gt (number .Value.id) 5}}big{{end}}{{if lt (number .Value.f) 2.0}} small{{end}}`, "big small"},
		{"NumbersCompareByWorth", `{{if lt .Value.n 10}}a{{end}}{{if lt .Value.f 10}}b{{end}}{{if eq .Value.f 1.5}}c{{end}}{{if lt (number .Value.f) 2}}d{{end}}`, "abcd"},
		{"ZeroIsFalse", `{{if 0}}{{else if .Value.zero}}{{else}}a{{end}}{{with .Value.zero}}{{else}}b{{end}}{{if not .Value.zero}}c{{end}}{{if .Value.zero | not}}d{{end}}{{or .Value.zero 5}}{{if and .Value.id .Value.zero}}{{else}}e{{end}}`, "abcd5e"},
		{"OthersAreTrue", `{{if .Value.f}}a{{end}}{{with .Value.id}}b{{end}}{{if and .Value.name .Value.tags}}c{{end}}{{or .Value.n 5 | print}}`, "abc9"},
		{"Printf", `{{printf "%05d|%s|%v" (number "42") .Value.name .Value.f}}`, "00042|a b|1.50"},
		{"RangeAndWith", `{{range $i, $t := .Value.tags}}{{$i}}{{$t}}{{$.Key}}{{end}}{{with .Value.deep}}{{index .k 0}}{{end}}`, "0xk11yk11"},
		{"DefinedTemplate", `{{define "t"}}<{{.}}>{{end}}{{template "t" .Value.name}}`, "<a b>"},
		{"Variable", `{{$v := .Value}}{{$v.name}}`, "a b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			cfg := shell("true", func(c *config.ExecHandler) {
				c.Args = []string{tt.template}
				c.Stdin = &tt.template
				c.Env = map[string]string{"X": tt.template}
			})
			rep := run(t, cfg, full, drakkartest.Partition("events", 3), faked(drakkar.Result{}))
			rep.RequireNoErrors(t)
			require.Len(t, rep.Tasks, 1)
			task := rep.Tasks[0]
			require.Equal(t, []string{tt.want}, task.Args)
			require.Equal(t, tt.want, task.Stdin.String())
			require.NotNil(t, task.Stdin)
			require.Equal(t, map[string]string{"X": tt.want}, task.Env)
			require.Equal(t, "/bin/sh", task.Binary)
			require.Equal(t, "3-7-0", task.ID)
			require.Equal(t, []int64{7}, task.SourceOffsets)
		})
	}
}

// faked runs nothing: every task has the result.
func faked(res drakkar.Result) drakkartest.Input {
	return drakkartest.Runner(func(drakkar.Task) (drakkar.Result, error) { return res, nil })
}

// With executor.mode: resident one program does the command of every message,
// and exit codes mean what they mean otherwise.
func TestResident(t *testing.T) {
	t.Parallel()

	// Answers with its arguments as JSON, and with exit code 3 to "odd".
	script := `echo '{"ready":1}'; while read -r l; do
		id=${l#*:} args=${l#*'"args":'} code=0
		case $l in *'"odd"'*) code=3 ;; esac
		printf '{"id":%s,"exit_code":%d,"stdout":{"base64":"%s"}}\n' "${id%%,*}" "$code" "$(printf %s "${args%\}}" | base64 -w 0)"
	done`
	cfg := config.ExecHandler{
		Args: []string{"{{.Value.word}}", "at {{.Offset}}"}, Input: "json", Output: "whole", OnFailure: "dlq", SkipCodes: []int{3},
		Deliver: []config.ExecDelivery{{Type: "kafka", Sink: "results"}},
	}
	p, err := New(cfg, "/bin/sh")
	require.NoError(t, err)
	rep := drakkartest.RunPipeline(t, p, drakkartest.Binary("/bin/sh"), drakkartest.Slots(1), drakkartest.Resident("lines", "-c", script),
		drakkartest.Message(`{"word":"a"}`), drakkartest.Message(`{"word":"odd"}`), drakkartest.Message(`{"word":"b"}`))
	require.Equal(t, []string{`["a","at 0"]`, `["b","at 2"]`}, values(rep))
	require.Equal(t, []string{"skip"}, actions(rep))
	require.Empty(t, rep.DeadLetters)
	require.Equal(t, rep.Results[0].PID, rep.Results[1].PID)
}

func TestNew_NamesEverythingWrongAtOnce(t *testing.T) {
	t.Parallel()

	stdin := "{{nosuch .Value}}"
	_, err := New(config.ExecHandler{
		Args:  []string{"fine", "{{.Value.x", "{{.Output}}", "{{.Vaule.x}}"},
		Stdin: &stdin,
		Env:   map[string]string{"A": `{{template "other"}}`},
		Deliver: []config.ExecDelivery{
			{Type: "kafka", Data: "{{end}}", Key: "{{$.Nope}}"},
			{Type: "filesystem", Path: "{{if .JSON}}x{{end}}"},
			{Type: "ftp"},
		},
	}, "")
	require.Error(t, err)
	for _, want := range []string{
		"handler.exec.binary: must be set, or executor.binary_path",
		"handler.exec.args[1]:1: unclosed action",
		"handler.exec.args[2]: there is no .Output here, only .Raw",
		"handler.exec.args[3]: there is no .Vaule here",
		`handler.exec.stdin:1: function "nosuch" not defined`,
		`handler.exec.env.A: there is no template "other"`,
		"handler.exec.deliver[0].data:1: unexpected {{end}}",
		"handler.exec.deliver[0].key: there is no .Nope here, only .Output",
		"handler.exec.deliver[1].path: there is no .JSON here",
		`handler.exec.deliver[2].type: there is no sink of type "ftp"`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), 10)
}

func TestNew_Fields(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		cfg  config.ExecHandler
		want string // of the error
	}{
		{"BinaryOfTheExecutor", config.ExecHandler{}, ""},
		{"JSONWithOutputJSON", config.ExecHandler{Output: "json", Deliver: []config.ExecDelivery{{Type: "http", Data: "{{.JSON.x}}"}}}, ""},
		{"ValueWithInputRaw", config.ExecHandler{Input: "raw", Args: []string{"{{.Value}}"}}, "there is no .Value here"},
		{"RawWithInputRaw", config.ExecHandler{Input: "raw", Args: []string{"{{.Raw}}"}}, ""},
		{"OtherDotInRange", config.ExecHandler{Args: []string{"{{range .Value.list}}{{.name}}{{else}}{{.name}}{{end}}"}}, "there is no .name here"},
		{"OtherDotInsideOfRangeAndWith", config.ExecHandler{Args: []string{"{{range .Value.list}}{{.name}}{{end}}{{with .Value}}{{.name}}{{end}}"}}, ""},
		{"DotIsBackBehindRange", config.ExecHandler{Args: []string{"{{range .Value.list}}{{end}}{{.name}}"}}, "there is no .name here"},
		{"DotStaysInElseOfWith", config.ExecHandler{Args: []string{"{{with .Key}}{{.}}{{else}}{{.key}}{{end}}"}}, "there is no .key here"},
		{"DotOfADefinedTemplate", config.ExecHandler{Args: []string{`{{define "t"}}{{.name}}{{end}}{{template "t" .Value}}`}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			_, err := New(tt.cfg, "/bin/true")
			if tt.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.want)
			}
		})
	}
}

// A message that does not fit is dead-lettered at once, and takes no other one
// along.
func TestUnrenderable(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name     string
		template string
		bad      drakkartest.Input
		want     string
	}{
		{"MissingField", "{{.Value.x}}", drakkartest.Message(`{"y":1}`), `map has no entry for key "x"`},
		{"Null", "{{.Value.x}}", drakkartest.Message(`{"x":null}`), "there is nothing to print"},
		{"NotAnObject", "{{.Value.x}}", drakkartest.Message(`[1]`), "can't evaluate field x"},
		{"NullValue", "{{.Value.x}}", drakkartest.Message(`null`), "handler.exec.args[0]:1:8:"},
		{"Tombstone", "{{.Value.x}}", drakkartest.Message(nil), "handler.exec.args[0]:1:8:"},
		{"RawOfTombstone", "{{.Raw}}", drakkartest.Message(nil), "there is nothing to print"},
		{"NoKey", "{{.Key}}{{.Value.x}}", drakkartest.Message(`{"x":1}`), "there is nothing to print"},
		{"NoTimestamp", `{{if ne .Key "good"}}{{.Timestamp}}{{end}}`, drakkartest.Message(`{"x":1}`, drakkartest.Key("k")), "there is nothing to print"},
		{"NoHeader", `{{if ne .Key "good"}}{{.Header "h"}}{{end}}`, drakkartest.Message(`{"x":1}`, drakkartest.Key("k")), "there is nothing to print"},
		{"NotANumber", "{{number .Value.x}}", drakkartest.Message(`{"x":"one"}`), `"one" is not a number`},
		{"NotAList", `{{if ne .Key "good"}}{{join "," .Value.x}}{{end}}`, drakkartest.Message(`{"x":"one"}`, drakkartest.Key("k")), "join takes a list"},
		{"NullInAList", `{{if ne .Key "good"}}{{join "," .Value.x}}{{end}}`, drakkartest.Message(`{"x":[null]}`, drakkartest.Key("k")), "element 0: there is nothing to print"},
		{"Misprint", `{{printf "%d" (number .Value.x)}}`, drakkartest.Message(`{"x":1.5}`), "does not fit its values"},
		{"PrintOfNull", `{{print "x" .Value.x}}`, drakkartest.Message(`{"x":null}`), "there is nothing to print"},
		{"EscaperOfNull", `{{.Value.x | urlquery}}`, drakkartest.Message(`{"x":null}`), "there is nothing to print"},
		{"TextThatIsNoJSON", `{{json .Key}}`, drakkartest.Message("{}", drakkartest.Key("\xff")), "not valid UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			cfg := shell("", func(c *config.ExecHandler) {
				c.Binary, c.Args, c.OnFailure = "/bin/echo", []string{tt.template}, "skip"
			})
			good := drakkartest.Message(`{"x":"7"}`, drakkartest.Key("good"))
			rep := run(t, cfg, good, tt.bad, good)
			require.Empty(t, rep.HookErrors)
			require.Len(t, rep.Results, 2)
			require.Len(t, rep.DeadLetters, 1)
			require.EqualValues(t, 1, rep.DeadLetters[0].Offset)
			require.ErrorContains(t, rep.DeadLetters[0], tt.want)
			require.ErrorContains(t, rep.DeadLetters[0], "handler.exec.args[0]")
			require.Len(t, rep.Failures, 1)
			require.Len(t, rep.Outputs.Kafka, 2)
		})
	}
}

func TestInput(t *testing.T) {
	t.Parallel()

	t.Run("BrokenJSONIsNotParsed", func(t *testing.T) {
		t.Parallel()

		for _, value := range []string{"", "{", `{} {}`, "{} x", "not json"} {
			rep := run(t, shell("echo", nil), drakkartest.Message(value), drakkartest.Message("{}"))
			require.Len(t, rep.DeadLetters, 1, value)
			require.ErrorContains(t, rep.DeadLetters[0], "decoding the value as JSON")
			require.Len(t, rep.Tasks, 1)
		}
	})
	t.Run("RawIsNotDecoded", func(t *testing.T) {
		t.Parallel()

		raw := func(c *config.ExecHandler) { c.Input = "raw" }
		rep := run(t, shell(`printf %s "$1"`, raw), drakkartest.Message("not json\xff"), drakkartest.Message(""))
		rep.RequireNoErrors(t)
		require.Equal(t, []string{"not json\xff", ""}, values(rep))
	})
	t.Run("LetPass", func(t *testing.T) {
		t.Parallel()

		rep := run(t, shell(`printf %s "$1"`, func(c *config.ExecHandler) {
			c.Deliver[0].Data = `{{default "none" .Value}}{{.Output}}`
		}), drakkartest.PassUnparsed(), drakkartest.Message("{"))
		rep.RequireNoErrors(t)
		require.Equal(t, []string{"none{"}, values(rep))

		rep = run(t, shell("true", func(c *config.ExecHandler) { c.Args = []string{"{{.Value.x}}"} }),
			drakkartest.PassUnparsed(), drakkartest.Message("{"))
		require.Len(t, rep.DeadLetters, 1)
		require.Contains(t, rep.Tasks[0].Precomputed.Stderr.String(), "unexpected EOF")
	})
}

func TestOnError(t *testing.T) {
	t.Parallel()

	exit := func(code int) drakkar.TaskError {
		return drakkar.TaskError{Kind: drakkar.TaskExit, Result: drakkar.Result{ExitCode: code}}
	}
	codes := config.ExecHandler{SuccessCodes: []int{1, 3}, RetryCodes: []int{75}, SkipCodes: []int{2}}
	for _, tt := range []struct {
		name      string
		err       drakkar.TaskError
		onFailure string
		want      string
	}{
		{"SuccessCode", exit(1), "dlq", "replace"},
		{"RetryCode", exit(75), "dlq", "retry"},
		{"SkipCode", exit(2), "dlq", "skip"},
		{"OtherCodeRetried", exit(9), "retry", "retry"},
		{"OtherCodeDeadLettered", exit(9), "dlq", "dead_letter"},
		{"OtherCodeSkipped", exit(9), "skip", "skip"},
		{"Signal", exit(-1), "dlq", "dead_letter"},
		{"TimeoutRetried", drakkar.TaskError{Kind: drakkar.TaskTimeout}, "retry", "retry"},
		{"TimeoutDeadLettered", drakkar.TaskError{Kind: drakkar.TaskTimeout}, "dlq", "dead_letter"},
		{"TimeoutSkipped", drakkar.TaskError{Kind: drakkar.TaskTimeout}, "skip", "skip"},
		{"TimeoutHasNoCode", drakkar.TaskError{Kind: drakkar.TaskTimeout, Result: drakkar.Result{ExitCode: 1}}, "dlq", "dead_letter"},
		{"StartNeverRetried", drakkar.TaskError{Kind: drakkar.TaskStart}, "retry", "dead_letter"},
		{"StartDeadLettered", drakkar.TaskError{Kind: drakkar.TaskStart}, "dlq", "dead_letter"},
		{"StartSkipped", drakkar.TaskError{Kind: drakkar.TaskStart}, "skip", "skip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			cfg := codes
			cfg.OnFailure = tt.onFailure
			p, err := New(cfg, "/bin/true")
			require.NoError(t, err)
			action, ok, err := p.OnError(t.Context(), drakkar.Task{ID: "t"}, tt.err)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, tt.want, name(action))
		})
	}
}

func name(a drakkar.ErrorAction) string {
	_, retry := a.IsRetry()
	_, replace := a.IsReplace()
	switch {
	case retry:
		return "retry"
	case replace:
		return "replace"
	case a.IsDeadLetter():
		return "dead_letter"
	}
	return "skip"
}

func TestExitCodes(t *testing.T) {
	t.Parallel()

	t.Run("SuccessCodeDeliversWhatThereIs", func(t *testing.T) {
		t.Parallel()

		rep := run(t, shell("echo nothing found; echo why >&2; exit 1", func(c *config.ExecHandler) {
			c.SuccessCodes = []int{1}
			c.Deliver[0].Data = "{{.ExitCode}} {{.Value.id}} {{.Stderr}}{{.Output}}"
		}), drakkartest.Message(`{"id":9007199254740993}`, drakkartest.Key("k")))
		rep.RequireNoErrors(t)
		require.Equal(t, []string{"replace"}, actions(rep))
		require.Equal(t, []string{"1 9007199254740993 why\nnothing found\n"}, values(rep))
		require.Equal(t, "k", string(rep.Outputs.Kafka[0].Key))
		require.True(t, rep.Groups[0].AllSucceeded())
		require.Equal(t, "0-0-0", rep.Tasks[1].ParentID)
	})
	t.Run("RetryCodeUntilItsAttemptsAreUsedUp", func(t *testing.T) {
		t.Parallel()

		rep := run(t, shell("exit 75", func(c *config.ExecHandler) { c.RetryCodes, c.OnFailure = []int{75}, "skip" }),
			drakkartest.Message("{}"), drakkartest.Attempts(3))
		require.Equal(t, []string{"retry", "retry", "dead_letter"}, actions(rep))
		require.Len(t, rep.DeadLetters, 1)
		require.Empty(t, rep.HookErrors)
	})
	t.Run("SkipCodeDeliversNothing", func(t *testing.T) {
		t.Parallel()

		rep := run(t, shell("echo x; exit 2", func(c *config.ExecHandler) { c.SkipCodes = []int{2} }), drakkartest.Message("{}"))
		require.Equal(t, []string{"skip"}, actions(rep))
		require.Empty(t, rep.DeadLetters)
		require.Zero(t, rep.Outputs.Len())
	})
	t.Run("NULInAnArgument", func(t *testing.T) {
		t.Parallel()

		rep := run(t, shell("true", nil), drakkartest.Message("\"a\\u0000b\""), drakkartest.Message(`"c"`))
		rep.RequireNoErrors(t) // the value's text has no NUL in it, only its escape

		rep = run(t, shell("true", func(c *config.ExecHandler) { c.Args = append(c.Args, "{{.Value}}") }),
			drakkartest.Message("\"a\\u0000b\""), drakkartest.Message(`"c"`))
		require.Equal(t, []string{"dead_letter"}, actions(rep))
		require.Equal(t, drakkar.TaskStart, rep.Failures[0].Error.Kind)
		require.Len(t, rep.Results, 1)
	})
}
