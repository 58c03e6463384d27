package exechandler

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/drakkartest"
)

func TestSplit(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name   string
		mode   string
		stdout drakkar.Bytes
		want   []string
		err    string
	}{
		{name: "Whole", mode: "whole", stdout: drakkar.Bytes("a\nb\n"), want: []string{"a\nb\n"}},
		{name: "WholeOfNothing", mode: "whole", stdout: nil, want: []string{""}},
		{name: "DefaultIsWhole", mode: "", stdout: drakkar.Bytes("a"), want: []string{"a"}},
		{name: "Lines", mode: "lines", stdout: drakkar.Bytes("a\n\n b \r\n\r\nc"), want: []string{"a", " b ", "c"}},
		{name: "NoLines", mode: "lines", stdout: nil},
		{name: "JSONStream", mode: "json", stdout: drakkar.Bytes("{\"a\" : 1.50}\n[1,\n 2]\"x\"9007199254740993 null"), want: []string{`{"a":1.50}`, `[1,2]`, `"x"`, "9007199254740993", "null"}},
		{name: "JSONOfNothing", mode: "json", stdout: drakkar.Bytes(" \n")},
		{name: "JSONCutShort", mode: "json", stdout: drakkar.Bytes(`{"a":1}{"b":`), err: "reading stdout as JSON, behind 1 values"},
		{name: "NotJSON", mode: "json", stdout: drakkar.Bytes(`hello`), err: "behind 0 values"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			parts, err := split(tt.mode, tt.stdout)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			var got []string
			for _, p := range parts {
				require.NotNil(t, p.text)
				got = append(got, string(p.text))
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestDeliver_EveryKindOfSink(t *testing.T) {
	t.Parallel()

	rep := run(t, shell(`printf 'one\ntwo\n'`, func(c *config.ExecHandler) {
		c.Output = "lines"
		row := `{"line":{{json .Output}},"n":{{.Index}},"of":{{json .Value.id}}}`
		c.Deliver = []config.ExecDelivery{
			{Type: "kafka", Sink: "k", Topic: "t-{{.Output}}", Key: "{{.Index}}"},
			{Type: "postgres", Sink: "p", Table: "lines", Data: row},
			{Type: "mongo", Sink: "m", Collection: "lines", Data: row},
			{Type: "http", Sink: "h", Data: row},
			{Type: "redis", Sink: "r", Key: "{{.Topic}}:{{.Offset}}", TTL: time.Minute},
			{Type: "filesystem", Sink: "f", Path: "{{.Value.id}}.txt"},
		}
	}), drakkartest.Message(`{"id":"x"}`, drakkartest.Offset(5)))
	rep.RequireNoErrors(t)

	b := func(s string) drakkar.Bytes { return drakkar.Bytes(s) }
	row := [2]drakkar.Bytes{b(`{"line":"one","n":0,"of":"x"}`), b(`{"line":"two","n":1,"of":"x"}`)}
	require.Equal(t, drakkar.CollectResult{
		Kafka: []drakkar.KafkaPayload{
			{Sink: "k", Data: b("one"), Key: []byte("0"), Topic: "t-one"}, {Sink: "k", Data: b("two"), Key: []byte("1"), Topic: "t-two"},
		},
		Postgres: []drakkar.PostgresPayload{{Sink: "p", Data: row[0], Table: "lines"}, {Sink: "p", Data: row[1], Table: "lines"}},
		Mongo:    []drakkar.MongoPayload{{Sink: "m", Data: row[0], Collection: "lines"}, {Sink: "m", Data: row[1], Collection: "lines"}},
		HTTP:     []drakkar.HTTPPayload{{Sink: "h", Data: row[0]}, {Sink: "h", Data: row[1]}},
		Redis: []drakkar.RedisPayload{
			{Sink: "r", Data: b("one"), Key: "input:5", TTL: time.Minute}, {Sink: "r", Data: b("two"), Key: "input:5", TTL: time.Minute},
		},
		Files: []drakkar.FilePayload{{Sink: "f", Data: b("one"), Path: "x.txt"}, {Sink: "f", Data: b("two"), Path: "x.txt"}},
	}, rep.Outputs)
}

func TestDeliver_Whole(t *testing.T) {
	t.Parallel()

	both := func(c *config.ExecHandler) {
		c.Deliver = []config.ExecDelivery{{Type: "kafka"}, {Type: "filesystem", Path: "f"}}
	}
	t.Run("KafkaExactlyFilesWithoutTheLastNewline", func(t *testing.T) {
		t.Parallel()

		rep := run(t, shell(`printf 'a\377\n\n'`, both), drakkartest.Message("{}"))
		rep.RequireNoErrors(t)
		require.Equal(t, []string{"a\xff\n\n"}, values(rep))
		require.Equal(t, drakkar.Bytes("a\xff\n"), rep.Outputs.Files[0].Data)
	})
	t.Run("NothingIsNoTombstone", func(t *testing.T) {
		t.Parallel()

		rep := run(t, shell("true", func(c *config.ExecHandler) {
			both(c)
			c.Deliver = append(c.Deliver, config.ExecDelivery{Type: "kafka", Data: "{{if false}}x{{end}}"})
		}), drakkartest.Message("{}"))
		rep.RequireNoErrors(t)
		require.Equal(t, drakkar.Bytes{}, rep.Outputs.Kafka[0].Data)
		require.Equal(t, drakkar.Bytes{}, rep.Outputs.Kafka[1].Data)
		require.Equal(t, drakkar.Bytes{}, rep.Outputs.Files[0].Data)
	})
}

func TestDeliver_KafkaKey(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name     string
		template string
		message  drakkartest.Input
		want     []byte
	}{
		{"TheMessagesOwn", "", drakkartest.Message("{}", drakkartest.Key("k\xff")), []byte("k\xff")},
		{"TheMessageHasNone", "", drakkartest.Message("{}"), nil},
		{"Template", "{{.Key}}-{{.ExitCode}}", drakkartest.Message("{}", drakkartest.Key("k")), []byte("k-0")},
		{"EmptyIsNone", `{{default "" .Key}}`, drakkartest.Message("{}"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			rep := run(t, shell("true", func(c *config.ExecHandler) { c.Deliver[0].Key = tt.template }), tt.message)
			rep.RequireNoErrors(t)
			require.Equal(t, tt.want, rep.Outputs.Kafka[0].Key)
		})
	}
}

// Everything a delivery may say about the message survives the way to its hook.
func TestDeliver_SeesTheMessage(t *testing.T) {
	t.Parallel()

	all := `{{default "-" .Raw}}|{{default "-" .Key}}|{{.Topic}}/{{.Partition}}@{{.Offset}}|{{default "-" .Timestamp}}|{{default "-" (.Header "h")}}`
	cfg := shell("true", func(c *config.ExecHandler) { c.Input, c.Args, c.Deliver[0].Data = inputRaw, nil, all })
	rep := run(t, cfg, drakkartest.Partition("events", 9), faked(drakkar.Result{Duration: time.Second}),
		drakkartest.Message("{\"b\":\"\xc3\"}", drakkartest.Offset(1<<53+1), drakkartest.Key("\xff"),
			drakkartest.Timestamp(time.UnixMilli(1700000000123).UTC()), drakkartest.Header("h", "v")),
		drakkartest.Message(nil))
	rep.RequireNoErrors(t)
	require.Equal(t, []string{
		"{\"b\":\"\xc3\"}|\xff|events/9@9007199254740993|2023-11-14T22:13:20.123Z|v",
		"-|-|events/9@9007199254740994|-|-",
	}, values(rep))
}

// Tasks carry no more of the message than deliveries refer to.
func TestLuggage(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name     string
		delivery config.ExecDelivery
		want     string // of the metadata
	}{
		{"Nothing", config.ExecDelivery{Type: "http", Data: "{{.Output}}{{.Offset}}{{.Stderr}}"}, "null"},
		{"KafkasKey", config.ExecDelivery{Type: "kafka"}, `{"exec":{"key":"k"}}`},
		{"KafkaWithAKeyOfItsOwn", config.ExecDelivery{Type: "kafka", Key: "x"}, "null"},
		{"Value", config.ExecDelivery{Type: "http", Data: "{{.Value}}"}, `{"exec":{"value":"{}"}}`},
		{"InsideOfRange", config.ExecDelivery{Type: "http", Data: "{{range .JSON}}{{$.Topic}}{{end}}"}, `{"exec":{"topic":"input"}}`},
		{"Everything", config.ExecDelivery{Type: "http", Data: "{{with .}}{{.Output}}{{end}}"}, `{"exec":{"value":"{}","key":"k","headers":[{"k":"h","v":"v"}],"topic":"input"}}`},
		{"EverythingByDollar", config.ExecDelivery{Type: "http", Data: "{{with $}}{{.Output}}{{end}}"}, `{"exec":{"value":"{}","key":"k","headers":[{"k":"h","v":"v"}],"topic":"input"}}`},
		{"InParentheses", config.ExecDelivery{Type: "http", Data: `{{(index (.Header "h") 0)}}`}, `{"exec":{"headers":[{"k":"h","v":"v"}]}}`},
		{"FieldOfAnExpression", config.ExecDelivery{Type: "http", Data: `{{(.Header "h").x}}`}, `{"exec":{"headers":[{"k":"h","v":"v"}]}}`},
		{"ByVariable", config.ExecDelivery{Type: "http", Data: "{{$x := .Key}}{{$x}}"}, `{"exec":{"key":"k"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			cfg := shell("", func(c *config.ExecHandler) { c.Output, c.Deliver = "json", []config.ExecDelivery{tt.delivery} })
			rep := run(t, cfg, drakkartest.Message("{}", drakkartest.Key("k"), drakkartest.Header("h", "v")), faked(drakkar.Result{}))
			got, err := json.Marshal(rep.Tasks[0].Metadata)
			require.NoError(t, err)
			require.JSONEq(t, tt.want, string(got))
		})
	}
}

func TestDeliver_Errors(t *testing.T) {
	t.Parallel()

	cut := drakkar.Result{Stdout: drakkar.Bytes(`{"a":1}`), StdoutTruncated: true}
	for _, tt := range []struct {
		name   string
		result drakkar.Result
		change func(*config.ExecHandler)
		want   string
	}{
		{"CutWhole", cut, nil, "stdout is not whole, 7 bytes of it were kept: it is longer than executor.max_output_bytes, or"},
		{"CutLines", cut, func(c *config.ExecHandler) { c.Output = "lines" }, "max_output_bytes"},
		{"CutJSON", cut, func(c *config.ExecHandler) { c.Output, c.Deliver[0].Data = "json", "{{.Index}}" }, "max_output_bytes"},
		{"CutOfASuccessCode", drakkar.Result{StdoutTruncated: true, ExitCode: 4}, func(c *config.ExecHandler) { c.SuccessCodes = []int{4} }, "max_output_bytes"},
		{"CutButUnused", cut, func(c *config.ExecHandler) { c.Deliver[0].Data = "{{.ExitCode}}" }, ""},
		{"BadJSON", drakkar.Result{Stdout: drakkar.Bytes(`{} x`)}, func(c *config.ExecHandler) { c.Output = "json" }, "reading stdout as JSON, behind 1 values"},
		{"MissingField", drakkar.Result{Stdout: drakkar.Bytes(`{}`)}, func(c *config.ExecHandler) {
			c.Output, c.Deliver[0].Topic = "json", "{{.JSON.x}}"
		}, "handler.exec.deliver[0].topic:1:7"},
		{"MissingFieldOfTheMessage", drakkar.Result{}, func(c *config.ExecHandler) { c.Deliver[0].Data = "{{.Value.x}}" }, "handler.exec.deliver[0].data:1:8"},
		{"NoKey", drakkar.Result{}, func(c *config.ExecHandler) { c.Deliver[0].Key = "{{.Key}}" }, "handler.exec.deliver[0].key:1:2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			rep := run(t, shell("", tt.change), drakkartest.Message("{}"), faked(tt.result))
			if tt.want == "" {
				rep.RequireNoErrors(t)
				return
			}
			require.Len(t, rep.HookErrors, 1)
			require.ErrorContains(t, rep.HookErrors[0], "on_task_complete")
			require.ErrorContains(t, rep.HookErrors[0], tt.want)
			require.Zero(t, rep.Outputs.Len())
			require.Len(t, rep.DeadLetters, 1)
		})
	}
}
