package exechandler

import (
	"errors"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/drakkartest"
)

// large numbers in templates are loops and widths that take for ever.
var large = regexp.MustCompile(`[0-9_]{5}|0[xXbB]|[eEpP]\+?[0-9]|range|template`)

// Whatever the template, the message and the output: a template is refused at
// the start, or every message is delivered or dead-lettered, and none of it
// panics or holds up the window.
func FuzzTemplates(f *testing.F) {
	f.Add("{{.Value.x}}", "{{.Output}}", []byte(`{"x":1}`), []byte("out"))
	f.Add(`{{default "a" (index .Value "b" 0)}}`, "{{.JSON}}", []byte(`{"b":[]}`), []byte("1 2"))
	f.Add("{{with .Value}}{{.}}{{else}}{{.Key}}{{end}}", "{{json .JSON}}", []byte("null"), []byte("null"))
	f.Add(`{{printf "%*d %[5]v" 3 .Value.x}}`, "{{.Stderr}}", []byte(`{"x":{}}`), []byte("{"))
	f.Add(`{{slice .Raw 1 2}}{{len .Value}}`, "{{.DurationSeconds}}", []byte(`"é"`), []byte("\xff"))
	f.Add(`{{call .Value}}{{.Timestamp.Foo}}`, "{{eq .Value .JSON}}", []byte(`[[]]`), []byte("[]"))
	f.Add(`{{$x := .}}{{$x = 1}}{{$x.Value}}`, "{{break}}", []byte(``), []byte(""))
	f.Add(`{{(.Header "h").x}}{{js .Raw}}`, "{{html .Output | upper | base64}}", []byte(`{"a":{"a":null}}`), []byte(`{"a":1}`))

	f.Fuzz(func(t *testing.T, arg, data string, value, stdout []byte) {
		if large.MatchString(arg + data) {
			t.Skip("may take for ever")
		}
		cfg := config.ExecHandler{
			Args: []string{arg}, Output: "json",
			Deliver: []config.ExecDelivery{{Type: "kafka", Data: data, Key: arg}},
		}
		p, err := New(cfg, "/bin/true")
		if err != nil {
			return
		}
		rep, err := drakkartest.Try(t.Context(), p, drakkartest.Message(value), drakkartest.Message(nil),
			drakkartest.Runner(func(drakkar.Task) (drakkar.Result, error) { return drakkar.Result{Stdout: stdout}, nil }))
		require.NoError(t, err)
		for _, err := range rep.HookErrors {
			var he *drakkar.HookError
			require.ErrorAs(t, err, &he)
			require.False(t, he.Panic, he.Stack)
			require.Equal(t, "on_task_complete", he.Hook)
		}
		require.Equal(t, 2, len(rep.Results)+len(rep.DeadLetters), errors.Join(rep.HookErrors...))
		for _, p := range rep.Outputs.Kafka {
			require.NotNil(t, p.Data.(drakkar.Bytes)) // nil would be a tombstone
		}
	})
}
