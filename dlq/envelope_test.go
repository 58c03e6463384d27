package dlq_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/sinks"
)

// ---- generators: nil and empty, text and bytes that are not UTF-8 ----

var genBytes = rapid.Custom(func(t *rapid.T) drakkar.Bytes {
	switch rapid.IntRange(0, 3).Draw(t, "kind of bytes") {
	case 0:
		return nil
	case 1:
		return drakkar.Bytes{}
	case 2:
		return drakkar.Bytes(rapid.String().Draw(t, "text"))
	}
	return append(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"), 0xff)
})

var genTime = rapid.Custom(func(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "no time") {
		return time.Time{}
	}
	return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
})

var genHeaders = rapid.Custom(func(t *rapid.T) []drakkar.Header {
	var hs []drakkar.Header
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		hs = append(hs, drakkar.Header{Key: string(genBytes.Draw(t, "header")), Value: genBytes.Draw(t, "header's value")})
	}
	return hs
})

var genPayload = rapid.Custom(func(t *rapid.T) *sinks.Payload {
	return &sinks.Payload{
		ID: rapid.String().Draw(t, "id"), Target: rapid.String().Draw(t, "target"), Topic: rapid.String().Draw(t, "topic"),
		To:    sinks.Ref{Type: sinks.Kafka, Name: rapid.String().Draw(t, "sink")},
		Value: genBytes.Draw(t, "value"), Key: genBytes.Draw(t, "key"), Headers: genHeaders.Draw(t, "headers"),
		Partition: rapid.Ptr(rapid.Int32(), true).Draw(t, "partition"), TTL: time.Duration(rapid.Int64().Draw(t, "ttl")),
		Source: drakkar.Source{Topic: "orders", Partition: 3, Offset: rapid.Int64().Draw(t, "offset"), TaskID: rapid.String().Draw(t, "task")},
	}
})

var genTask = rapid.Custom(func(t *rapid.T) *dlq.Task {
	d := &dlq.Task{
		Task: drakkar.Task{
			ID: rapid.String().Draw(t, "id"), Stdin: genBytes.Draw(t, "stdin"), SourceOffsets: []int64{1, 2},
			Metadata: map[string]any{"n": 1.5, "s": "<>", "nil": nil}, Labels: map[string]string{"a": ""},
			Env: map[string]string{"A": string(genBytes.Draw(t, "env"))},
		},
		Kind: drakkar.TaskExit, Message: rapid.String().Draw(t, "message"), ExitCode: rapid.IntRange(-1, 255).Draw(t, "exit code"),
		Stdout: genBytes.Draw(t, "stdout"), Stderr: genBytes.Draw(t, "stderr"), Cut: rapid.Bool().Draw(t, "cut"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "args") {
		d.Task.Args = append(d.Task.Args, string(genBytes.Draw(t, "arg")))
	}
	return d
})

var genEnvelope = rapid.Custom(func(t *rapid.T) dlq.Envelope {
	e := dlq.Envelope{
		V: dlq.Version, ID: rapid.String().Draw(t, "id"),
		Kind:        rapid.SampledFrom([]dlq.Kind{dlq.KindMessage, dlq.KindPayload, dlq.KindTask}).Draw(t, "kind"),
		FirstFailed: genTime.Draw(t, "first failed"), LastFailed: genTime.Draw(t, "last failed"), Written: genTime.Draw(t, "written"),
		Pipeline: rapid.String().Draw(t, "pipeline"), Workflow: rapid.String().Draw(t, "workflow"),
		Class: rapid.String().Draw(t, "class"), Error: rapid.String().Draw(t, "error"), Attempts: rapid.Int().Draw(t, "attempts"),
		PayloadMissing: rapid.String().Draw(t, "payload missing"),
		Source: dlq.Source{
			Topic: rapid.String().Draw(t, "topic"), TopicID: "ab12", Partition: rapid.Int32().Draw(t, "partition"),
			Offset: rapid.Int64().Draw(t, "offset"), Key: genBytes.Draw(t, "key"), Value: genBytes.Draw(t, "value"),
			Headers: genHeaders.Draw(t, "headers"), Timestamp: genTime.Draw(t, "timestamp"),
			ValueMissing: rapid.String().Draw(t, "value missing"),
		},
	}
	if e.Kind == dlq.KindPayload || rapid.Bool().Draw(t, "payload") {
		e.Payload = genPayload.Draw(t, "payload")
	}
	if rapid.Bool().Draw(t, "task") {
		e.Task = genTask.Draw(t, "task")
	}
	return e
})

func TestEnvelope_RoundTrip(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		e := genEnvelope.Draw(t, "envelope")
		data, err := e.Encode()
		require.NoError(t, err)
		got, err := dlq.Decode(data)
		require.NoError(t, err)
		require.Equal(t, e, got)
	})
}

// A producer that counts in microseconds makes messages of the year 58000.
func TestEnvelope_TimesThatJSONCannotHold(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		e := genEnvelope.Draw(t, "envelope")
		e.Source.Timestamp = time.UnixMilli(rapid.Int64().Filter(func(ms int64) bool {
			y := time.UnixMilli(ms).UTC().Year()
			return y < 0 || y > 9999
		}).Draw(t, "timestamp"))
		data, err := e.Encode()
		require.NoError(t, err)
		got, err := dlq.Decode(data)
		require.NoError(t, err)
		e.Source.Timestamp = time.Time{}
		require.Equal(t, e, got)
	})
}

func TestEnvelope_ReadsWell(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	data, err := dlq.Envelope{
		ID: "orders~ab12/3/100/t0/0", Kind: dlq.KindPayload, FirstFailed: at, LastFailed: at, Written: at,
		Pipeline: "p", Workflow: "p/orders/3/e/100", Class: "permanent", Error: "no such table", Attempts: 1,
		Payload: &sinks.Payload{
			ID: "orders~ab12/3/100/t0/0", To: sinks.Ref{Type: sinks.Postgres, Name: "db"},
			Value: drakkar.Bytes(`{"a":1}`), Target: "t", Source: drakkar.Source{Topic: "orders", Partition: 3, Offset: 100},
		},
		Source: dlq.Source{Topic: "orders", TopicID: "ab12", Partition: 3, Offset: 100, Key: drakkar.Bytes("k"), Value: drakkar.Bytes("\xff")},
	}.Encode()
	require.NoError(t, err)
	require.JSONEq(t, `{
		"v": 1, "id": "orders~ab12/3/100/t0/0", "kind": "payload",
		"first_failed": "2026-01-02T15:04:05Z", "last_failed": "2026-01-02T15:04:05Z", "written": "2026-01-02T15:04:05Z",
		"pipeline": "p", "workflow": "p/orders/3/e/100", "class": "permanent", "error": "no such table", "attempts": 1,
		"payload": {
			"id": "orders~ab12/3/100/t0/0", "to": {"type": "postgres", "name": "db"}, "value": "{\"a\":1}", "target": "t",
			"source": {"topic": "orders", "partition": 3, "offset": 100}
		},
		"source": {"topic": "orders", "topic_id": "ab12", "partition": 3, "offset": 100, "key": "k", "value": {"base64": "/w=="}}
	}`, string(data))
}

func TestDecode_Refuses(t *testing.T) {
	t.Parallel()

	for want, text := range map[string]string{
		"decoding dead letter: unexpected end":        ``,
		"it is not one: the field v is missing":       `{"id": "x", "kind": "task"}`,
		"its version is 2 and this program reads":     `{"v": 2, "kind": "task"}`,
		"it is about a payload and has none":          `{"v": 1, "kind": "payload"}`,
		`its kind "letter" is unknown`:                `{"v": 1, "kind": "letter"}`,
		"decoding bytes: the object has no base64":    `{"v": 1, "kind": "task", "source": {"value": {}}}`,
		"json: cannot unmarshal array into Go value ": `[]`,
	} {
		_, err := dlq.Decode([]byte(text))
		require.ErrorContains(t, err, want)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"v":1,"kind":"message","source":{"topic":"t","value":null}}`,
		`{"v":1,"kind":"payload","payload":{"id":"a","value":{"base64":"/w=="},"key":""},"source":{"value":"x"}}`,
		`{"v":1,"kind":"task","task":{"task":{"id":"t","args":[{"base64":"/w=="}],"stdin":""},"stdout":""},"source":{}}`,
		`{"v":1,"kind":"task","written":"2026-01-02T15:04:05.123456789+02:00","source":{"headers":[{"k":"a"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := dlq.Decode(data)
		if err != nil {
			require.Equal(t, dlq.Envelope{}, e)
			return
		}
		require.Equal(t, dlq.Version, e.V)
		first, err := e.Encode()
		require.NoError(t, err)
		again, err := dlq.Decode(first)
		require.NoError(t, err)
		second, err := again.Encode()
		require.NoError(t, err)
		require.Equal(t, string(first), string(second))
	})
}

func TestNewTask(t *testing.T) {
	t.Parallel()

	task := drakkar.Task{ID: "t"}
	require.Equal(t, &dlq.Task{Task: task}, dlq.NewTask(task, nil))

	long := strings.Repeat("x", 16<<10)
	got := dlq.NewTask(task, &drakkar.TaskError{
		Kind: drakkar.TaskExit, Message: "exit code 2",
		Result: drakkar.Result{ExitCode: 2, Stdout: drakkar.Bytes("begin" + long), Stderr: drakkar.Bytes(long)},
	})
	require.Equal(t, &dlq.Task{
		Task: task, Kind: drakkar.TaskExit, Message: "exit code 2", ExitCode: 2,
		Stdout: drakkar.Bytes(long), Stderr: drakkar.Bytes(long), Cut: true,
	}, got)

	whole := dlq.NewTask(task, &drakkar.TaskError{Result: drakkar.Result{Stdout: drakkar.Bytes{}, StderrTruncated: true}})
	require.Equal(t, &dlq.Task{Task: task, Stdout: drakkar.Bytes{}, Cut: true}, whole)
}
