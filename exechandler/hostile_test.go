package exechandler

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/drakkartest"
)

// hostile are values that a shell, a template, a parser of options or a
// terminal would do something with.
var hostile = []string{
	"", " ", "a b", "a\tb", "a\nb", "\n", "'", `"`, `\`, `\\`, "`id`", "$(id)", "$HOME", "${HOME}", "; ls", "| ls", "&& ls", "> /tmp/x", "*", "~", "#",
	"-rf", "--version", "--", "-", "@file", "%s%n", "{{.Key}}", "{{", "}}", "<no value>", "null", "\x01\x1b[31m", "é", "\u65e5\u672c\u8a9e", "🙂", "\u202eabc",
	"\u2028", "../../etc/passwd", "a=b", "=", "\r\n", strings.Repeat("x", 100_000),
}

// A value of a message reaches the program as one argument, as it is: there is
// no shell and no second look at what a template has printed.
func TestHostileValuesAreOneArgument(t *testing.T) {
	t.Parallel()

	cfg := shell(`printf '%d:' "$#"; printf '%s' "$1"`, func(c *config.ExecHandler) {
		c.Args[len(c.Args)-1] = "{{.Value.v}}"
	})
	inputs := []drakkartest.Input{drakkartest.Slots(4)}
	for _, v := range hostile {
		inputs = append(inputs, drakkartest.Message(map[string]string{"v": v}))
	}
	rep := run(t, cfg, inputs...)
	rep.RequireNoErrors(t)
	require.Len(t, rep.Tasks, len(hostile))
	got := map[int64]string{}
	for _, r := range rep.Results {
		got[r.Task.SourceOffsets[0]] = r.Stdout.String()
	}
	for i, v := range hostile {
		require.Equal(t, "1:"+v, got[int64(i)], "%.40q", v)
	}
}

// The same holds for standard input and the environment.
func TestHostileValuesInStdinAndEnvironment(t *testing.T) {
	t.Parallel()

	text := "{{.Value.v}}"
	cfg := shell(`cat; printf '|%s' "$V"`, func(c *config.ExecHandler) {
		c.Args = c.Args[:2]
		c.Stdin, c.Env = &text, map[string]string{"V": text}
	})
	for _, v := range hostile {
		rep := run(t, cfg, drakkartest.Message(map[string]string{"v": v}))
		rep.RequireNoErrors(t)
		require.Equal(t, []string{v + "|" + v}, values(rep), "%.40q", v)
	}
}

// Whatever text a message holds, every place that a template can stand at gets
// exactly that text.
func TestTextsArriveUnchanged(t *testing.T) {
	t.Parallel()

	text := "{{.Value.v}}"
	cfg := shell("", func(c *config.ExecHandler) {
		c.Args, c.Stdin, c.Env = []string{text, "x" + text + "x"}, &text, map[string]string{"E": text}
		c.Deliver = []config.ExecDelivery{
			{Type: "kafka", Data: text, Key: "k" + text, Topic: text},
			{Type: "filesystem", Data: text, Path: text},
			{Type: "http", Data: `{"v":{{json .Value.v}}}`},
		}
	})
	p := build(t, cfg)
	rapid.Check(t, func(rt *rapid.T) {
		v := rapid.String().Draw(rt, "v")
		rep, err := drakkartest.Try(t.Context(), p, drakkartest.Message(map[string]string{"v": v}), faked(drakkar.Result{}))
		require.NoError(rt, err)
		require.NoError(rt, rep.Err())
		task := rep.Tasks[0]
		require.Equal(rt, []string{v, "x" + v + "x"}, task.Args)
		require.Equal(rt, v, task.Stdin.String())
		require.Equal(rt, v, task.Env["E"])
		kafka, file := rep.Outputs.Kafka[0], rep.Outputs.Files[0]
		require.Equal(rt, drakkar.Bytes(v), kafka.Data)
		require.Equal(rt, "k"+v, string(kafka.Key))
		require.Equal(rt, []string{v, v}, []string{kafka.Topic, file.Path})
		var decoded map[string]string
		require.NoError(rt, json.Unmarshal(rep.Outputs.HTTP[0].Data.(drakkar.Bytes), &decoded))
		require.Equal(rt, v, decoded["v"])
	})
}

// Numbers keep every digit that the message has, and are no floats on the way.
func TestNumbersKeepTheirDigits(t *testing.T) {
	t.Parallel()

	cfg := shell("", func(c *config.ExecHandler) {
		c.Args = []string{"{{.Value.n}}", "{{json .Value}}"}
		c.Output = "json"
		c.Deliver[0].Data = "{{.JSON.n}} {{json .JSON}} {{.Output}}"
	})
	for _, n := range []string{
		"0", "-0", "1", "1.0", "1.50", "1e5", "1E+5", "0.1", "9007199254740993", "18446744073709551616", "-9223372036854775809",
		"3.141592653589793238462643383279", "1e400", "1e-400", strings.Repeat("9", 500),
	} {
		out := drakkar.Bytes(`{ "n" : ` + n + ` }`)
		rep := run(t, cfg, drakkartest.Message(`{"n":`+n+`}`), faked(drakkar.Result{Stdout: out}))
		rep.RequireNoErrors(t)
		require.Equal(t, []string{n, `{"n":` + n + `}`}, rep.Tasks[0].Args)
		require.Equal(t, []string{n + ` {"n":` + n + `} {"n":` + n + `}`}, values(rep))
	}
}

// A message whose command cannot be made names the template, wherever it
// stands, and what was rendered before it is thrown away.
func TestUnrenderableNamesTheTemplate(t *testing.T) {
	t.Parallel()

	bad, good := "{{.Value.x}}", "{{.Raw}}"
	for want, change := range map[string]func(*config.ExecHandler){
		"handler.exec.args[1]":  func(c *config.ExecHandler) { c.Args = []string{good, bad} },
		"handler.exec.stdin":    func(c *config.ExecHandler) { c.Args, c.Stdin = []string{good}, &bad },
		"handler.exec.env.NAME": func(c *config.ExecHandler) { c.Stdin, c.Env = &good, map[string]string{"A": good, "NAME": bad} },
	} {
		rep := run(t, shell("", change), drakkartest.Message(`{"secret":"hunter2"}`), faked(drakkar.Result{}))
		require.Len(t, rep.DeadLetters, 1, want)
		require.ErrorContains(t, rep.DeadLetters[0], want+":1:8:")
		require.ErrorContains(t, rep.DeadLetters[0], `map has no entry for key "x"`)
		task := rep.Tasks[0]
		require.Empty(t, task.Args)
		require.Nil(t, task.Stdin)
		require.Empty(t, task.Env)
		require.NotContains(t, rep.DeadLetters[0].Error(), "hunter2", "the value is in the dead letter, not in its reason")
	}
}

// Odd JSON is read as Go reads it, or is no JSON, and never takes the window
// along.
func TestOddJSON(t *testing.T) {
	t.Parallel()

	cfg := shell("", func(c *config.ExecHandler) { c.Args = []string{"{{json .Value}}"} })
	for value, want := range map[string]string{
		`{"a":1,"a":2}`:             `{"a":2}`,
		"\x20\n\t{}\r\n":            `{}`,
		`"\u00e9\ud83d\ude42"`:      `"é🙂"`,
		`"\ud800"`:                  `"` + string(utf8.RuneError) + `"`,
		`[]`:                        `[]`,
		`{"":{"":null}}`:            `{"":{"":null}}`,
		`{"b":1,"a":{"d":1,"c":2}}`: `{"a":{"c":2,"d":1},"b":1}`,
		`"<script>&"`:               `"<script>&"`,
		strings.Repeat("[", 5000) + strings.Repeat("]", 5000): strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
	} {
		rep := run(t, cfg, drakkartest.Message(value), faked(drakkar.Result{}))
		rep.RequireNoErrors(t)
		require.Equal(t, []string{want}, rep.Tasks[0].Args, "%.40s", value)
	}
	for _, value := range []string{
		"", " ", "{", "}", "{}{}", "[1,]", "{'a':1}", "{a:1}", "NaN", "Infinity", "01", "1.", ".5", "+1", "0x1", "\ufeff{}", "\"a\nb\"", "tru", "// x\n{}", "\"caf\xe9\"",
		strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000),
	} {
		rep := run(t, cfg, drakkartest.Message(value), drakkartest.Message("{}"), faked(drakkar.Result{}))
		require.Len(t, rep.DeadLetters, 1, "%.40q", value)
		require.Len(t, rep.Tasks, 1, "the other message goes on")
	}
}

// A template without an end is an error of its message.
func TestEndlessTemplate(t *testing.T) {
	t.Parallel()

	cfg := shell("", func(c *config.ExecHandler) {
		c.Args = []string{`{{define "t"}}{{template "t" .}}{{end}}{{template "t" .}}`}
	})
	rep := run(t, cfg, drakkartest.Message("{}"), faked(drakkar.Result{}))
	require.Len(t, rep.DeadLetters, 1)
	require.ErrorContains(t, rep.DeadLetters[0], "exceeded maximum template depth")
}

// One pipeline serves many windows at the same time.
func TestWindowsAtTheSameTime(t *testing.T) {
	t.Parallel()

	p := build(t, shell("", func(c *config.ExecHandler) {
		c.Args = []string{`{{range .Value.list}}{{.}}{{end}}`}
		c.Deliver[0].Data = "{{.Value.list}}{{.Output}}"
	}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			list := strings.Repeat(string(rune('a'+i)), 3)
			rep, err := drakkartest.Try(t.Context(), p, drakkartest.Message(map[string]any{"list": strings.Split(list, "")}),
				drakkartest.Runner(func(task drakkar.Task) (drakkar.Result, error) {
					return drakkar.Result{Stdout: drakkar.Bytes(task.Args[0])}, nil
				}))
			require.NoError(t, err)
			require.Equal(t, []string{`["` + strings.Join(strings.Split(list, ""), `","`) + `"]` + list}, values(rep))
		})
	}
	wg.Wait()
}
