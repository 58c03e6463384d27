package sinks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

var allTypes = []sinks.Type{sinks.Kafka, sinks.Postgres, sinks.Mongo, sinks.HTTP, sinks.Redis, sinks.Filesystem, sinks.Custom}

func oneOfEach(t *testing.T) *sinks.Set {
	t.Helper()

	var refs []sinks.Ref
	for _, typ := range allTypes {
		refs = append(refs, ref(typ, "main"))
	}
	return newSet(t, refs...)
}

type codecFunc func(any) ([]byte, error)

func (f codecFunc) Encode(data any) ([]byte, error) { return f(data) }

func TestSet_Encode(t *testing.T) {
	t.Parallel()

	origin := sinks.Origin{
		Topic: "orders", TopicID: "ab12", Partition: 3, Offset: 100, Stage: sinks.StageTask, Index: "2", TaskID: "3-100-2",
	}

	t.Run("CountsIDsThroughTheResult", func(t *testing.T) {
		t.Parallel()

		four := int32(4)
		headers := []drakkar.Header{{Key: "h", Value: drakkar.Bytes("v")}}
		object := map[string]any{"a": "<&>"}
		payloads, err := oneOfEach(t).Encode(origin, drakkar.CollectResult{
			Files:    []drakkar.FilePayload{{Data: object, Path: "x.jsonl"}},
			Redis:    []drakkar.RedisPayload{{Data: object, Key: "k", TTL: time.Minute}},
			Custom:   []drakkar.CustomPayload{{Data: object, Key: []byte("k"), Target: "t", Headers: headers}},
			HTTP:     []drakkar.HTTPPayload{{Data: object, Headers: headers}},
			Mongo:    []drakkar.MongoPayload{{Data: object, Collection: "c"}},
			Postgres: []drakkar.PostgresPayload{{Data: object, Table: "s.t"}},
			Kafka: []drakkar.KafkaPayload{
				{Data: object, Key: []byte("k"), Topic: "other", Partition: &four, Headers: headers},
				{Data: object, Sink: "main"},
			},
		})
		require.NoError(t, err)

		want := []sinks.Payload{
			{To: ref(sinks.Kafka, "main"), Key: drakkar.Bytes("k"), Topic: "other", Partition: &four, Headers: headers},
			{To: ref(sinks.Kafka, "main")},
			{To: ref(sinks.Postgres, "main"), Target: "s.t"},
			{To: ref(sinks.Mongo, "main"), Target: "c"},
			{To: ref(sinks.HTTP, "main"), Headers: headers},
			{To: ref(sinks.Redis, "main"), Key: drakkar.Bytes("k"), TTL: time.Minute},
			{To: ref(sinks.Filesystem, "main"), Target: "x.jsonl"},
			{To: ref(sinks.Custom, "main"), Key: drakkar.Bytes("k"), Target: "t", Headers: headers},
		}
		for i := range want {
			want[i].ID = "orders~ab12/3/100/t2/" + string(rune('0'+i))
			want[i].Value = drakkar.Bytes(`{"a":"<&>"}`)
			want[i].Source = drakkar.Source{Topic: "orders", Partition: 3, Offset: 100, TaskID: "3-100-2"}
		}
		require.Equal(t, want, payloads)
	})

	t.Run("ByTheInstancesCodec", func(t *testing.T) {
		t.Parallel()

		var made []sinks.Instance
		for name, codec := range map[string]sinks.Codec{
			"main": nil, "raw": sinks.Raw, "text": codecFunc(func(data any) ([]byte, error) { return fmt.Append(nil, data), nil }),
			"broken": codecFunc(func(any) ([]byte, error) { panic("no schema") }), "empty": codecFunc(func(any) ([]byte, error) { return nil, nil }),
		} {
			made = append(made, sinks.Instance{Ref: ref(sinks.Kafka, name), Sink: sinkstest.NewMemory(), Codec: codec})
		}
		set, err := sinks.NewSet(made, events.RecorderFunc(func(events.Event) {}))
		require.NoError(t, err)
		for _, tc := range []struct {
			sink string
			data any
			want string
			err  string
		}{
			{"main", 7, "7", ""}, {"text", 7, "7", ""}, {"text", []string{"a"}, "[a]", ""},
			{"raw", []byte("\x00"), "\x00", ""}, {"text", []byte("as it is"), "as it is", ""},
			{"raw", 7, "", "codec is raw"}, {"broken", 7, "", "no schema"}, {"empty", 7, "", "neither bytes nor an error"},
		} {
			payloads, err := set.Encode(origin, drakkar.CollectResult{Kafka: []drakkar.KafkaPayload{{Sink: tc.sink, Data: tc.data}}})
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, string(payloads[0].Value))
		}
	})

	t.Run("EncodesData", func(t *testing.T) {
		t.Parallel()

		var pointer *int
		for name, tc := range map[string]struct {
			data        any
			kafka, http drakkar.Bytes
		}{
			"Nil":         {nil, nil, drakkar.Bytes("null")},
			"NilSlice":    {[]byte(nil), nil, drakkar.Bytes{}},
			"NilBytes":    {drakkar.Bytes(nil), nil, drakkar.Bytes{}},
			"NilRaw":      {json.RawMessage(nil), nil, drakkar.Bytes("null")},
			"NilPointer":  {pointer, drakkar.Bytes("null"), drakkar.Bytes("null")},
			"Empty":       {[]byte{}, drakkar.Bytes{}, drakkar.Bytes{}},
			"Slice":       {[]byte("\xff{"), drakkar.Bytes("\xff{"), drakkar.Bytes("\xff{")},
			"Bytes":       {drakkar.Bytes(" x "), drakkar.Bytes(" x "), drakkar.Bytes(" x ")},
			"Raw":         {json.RawMessage(`{ "a": 1 }`), drakkar.Bytes(`{ "a": 1 }`), drakkar.Bytes(`{ "a": 1 }`)},
			"String":      {"a\n<b>", drakkar.Bytes(`"a\n<b>"`), drakkar.Bytes(`"a\n<b>"`)},
			"Struct":      {struct{ A int }{1}, drakkar.Bytes(`{"A":1}`), drakkar.Bytes(`{"A":1}`)},
			"StructBytes": {struct{ A drakkar.Bytes }{drakkar.Bytes("<")}, drakkar.Bytes(`{"A":"<"}`), drakkar.Bytes(`{"A":"<"}`)},
		} {
			payloads, err := oneOfEach(t).Encode(origin, drakkar.CollectResult{
				Kafka: []drakkar.KafkaPayload{{Data: tc.data}}, HTTP: []drakkar.HTTPPayload{{Data: tc.data}},
			})
			require.NoError(t, err, name)
			require.Equal(t, tc.kafka, payloads[0].Value, name)
			require.Equal(t, tc.http, payloads[1].Value, name)
		}
	})

	t.Run("DatabasesTakeObjects", func(t *testing.T) {
		t.Parallel()

		set := oneOfEach(t)
		for _, data := range []any{nil, []byte(nil), 1, "x", []int{1}, []byte(`{"a":`), []byte(``), []byte(`[{}]`), json.RawMessage(nil)} {
			_, err := set.Encode(origin, drakkar.CollectResult{Postgres: []drakkar.PostgresPayload{{Data: data}}})
			require.ErrorContains(t, err, "postgres takes a JSON object", "%v", data)
			_, err = set.Encode(origin, drakkar.CollectResult{Mongo: []drakkar.MongoPayload{{Data: data}}})
			require.ErrorContains(t, err, "mongo takes a JSON object", "%v", data)
		}
		payloads, err := set.Encode(origin, drakkar.CollectResult{
			Postgres: []drakkar.PostgresPayload{{Data: []byte(" {\"a\":1}\n")}},
			Mongo:    []drakkar.MongoPayload{{Data: json.RawMessage(`{}`)}},
		})
		require.NoError(t, err)
		require.Len(t, payloads, 2)
	})

	t.Run("NothingIsNothing", func(t *testing.T) {
		t.Parallel()

		payloads, err := newSet(t).Encode(origin, drakkar.CollectResult{})
		require.NoError(t, err)
		require.Empty(t, payloads)
	})

	t.Run("ReportsEverythingThatIsWrong", func(t *testing.T) {
		t.Parallel()

		refused := errors.New("no such table")
		db := sinkstest.NewMemory()
		db.RefuseEarly(func(p sinks.Payload) error {
			if p.Target == "bad" {
				return refused
			}
			return nil
		})
		set, err := sinks.NewSet([]sinks.Instance{
			{Ref: ref(sinks.Postgres, "db"), Sink: db},
			{Ref: ref(sinks.Kafka, "a"), Sink: sinkstest.NewMemory()},
			{Ref: ref(sinks.Kafka, "b"), Sink: sinkstest.NewMemory()},
		}, events.Discard)
		require.NoError(t, err)

		payloads, err := set.Encode(origin, drakkar.CollectResult{
			Kafka: []drakkar.KafkaPayload{
				{Sink: "a", Data: 1}, {Data: 2}, {Sink: "b", Data: make(chan int)}, {Sink: "a", Data: panics{}},
				{Sink: "a", Headers: []drakkar.Header{{Key: "\xff"}}}, {Sink: "a", Topic: "\xff"},
			},
			Postgres: []drakkar.PostgresPayload{{Data: map[string]int{}}, {Data: map[string]int{}, Table: "bad"}},
			HTTP:     []drakkar.HTTPPayload{{Data: 1}},
		})
		require.Nil(t, payloads)
		require.ErrorIs(t, err, refused)
		var re *sinks.RouteError
		require.ErrorAs(t, err, &re)
		lines := strings.Split(err.Error(), "\n")
		require.Len(t, lines, 7)
		for i, begins := range []string{
			"kafka payload 1: a kafka payload names no sink", "kafka payload 2: encoding data: ",
			"kafka payload 3: encoding data: the value's encoder panicked: boom",
			"kafka payload 4: the header name", "kafka payload 5: the target",
			"postgres payload 1: postgres:db refuses it: no such table", "http payload 0: ",
		} {
			require.True(t, strings.HasPrefix(lines[i], begins), lines[i])
		}
	})
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("boom") }

// Different calls of hooks and different payloads of one never share an id, and
// an id depends on nothing but what it names.
func TestOrigin_DeliveryIDsAreUnique(t *testing.T) {
	t.Parallel()

	type key struct {
		o sinks.Origin
		n int
	}
	rapid.Check(t, func(t *rapid.T) {
		origin := rapid.Custom(func(t *rapid.T) key {
			o := sinks.Origin{
				Topic:     rapid.StringMatching(`[a-z0-9._-]{1,3}`).Draw(t, "topic"),
				TopicID:   rapid.StringMatching(`[a-z0-9]{0,2}`).Draw(t, "topic id"),
				Partition: rapid.Int32Range(0, 11).Draw(t, "partition"),
				Offset:    rapid.Int64Range(0, 11).Draw(t, "offset"),
				Stage:     rapid.SampledFrom([]sinks.Stage{sinks.StageMessage, sinks.StageWindow, sinks.StageTask}).Draw(t, "stage"),
			}
			if o.Stage == sinks.StageTask {
				o.Index = rapid.StringMatching(`[0-9/~tmw]{0,3}`).Draw(t, "index")
			}
			return key{o, rapid.IntRange(0, 11).Draw(t, "n")}
		})
		keys := rapid.SliceOfN(origin, 2, 50).Draw(t, "keys")
		seen := map[string]key{}
		for _, k := range keys {
			id := k.o.DeliveryID(k.n)
			other := k
			other.o.TaskID = "does not matter"
			require.Equal(t, id, other.o.DeliveryID(k.n))
			if first, dup := seen[id]; dup {
				require.Equal(t, first, k, id)
			}
			seen[id] = k
		}
	})
}
