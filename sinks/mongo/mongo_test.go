package mongo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/mongo"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/sinks/sinkstest/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// enough is how long anything may take.
const enough = time.Minute

// settings are those of a sink for tests.
func settings(uri, database string) config.MongoSink {
	return config.MongoSink{URI: uri, Database: database, OnConflict: "error", WriteConcern: "majority"}
}

type testBundle struct {
	*mongo.Sink
	db *driver.Database // of the test, past the sink
}

// setup makes a database and a sink.
func setup(t *testing.T, change func(*config.MongoSink)) *testBundle {
	t.Helper()

	return setupOn(t, servicestest.Mongo(t), change)
}

func setupOn(t *testing.T, server string, change func(*config.MongoSink)) *testBundle {
	t.Helper()

	b := &testBundle{db: servicestest.MongoDatabase(t, server)}
	cfg := settings(server, b.db.Name())
	if change != nil {
		change(&cfg)
	}
	b.Sink = newSink(t, cfg)
	return b
}

func newSink(t *testing.T, cfg config.MongoSink) *mongo.Sink {
	t.Helper()

	s, err := mongo.New("main", cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), enough)
		defer cancel()
		require.NoError(t, s.Close(ctx))
	})
	return s
}

func (b *testBundle) deliver(t *testing.T, batch ...sinks.Payload) []sinks.Failure {
	t.Helper()
	return deliver(t, b.Sink, batch...)
}

func deliver(t *testing.T, s *mongo.Sink, batch ...sinks.Payload) []sinks.Failure {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	return sinks.Failures(len(batch), s.Deliver(ctx, batch))
}

// to is a payload for a collection.
func to(collection, value string) sinks.Payload {
	return sinks.Payload{ID: "orders~ab12/0/7/m/0", Target: collection, Value: drakkar.Bytes(value)}
}

// holds are the documents of a collection, without an _id that the driver made,
// in Extended JSON, sorted.
func (b *testBundle) holds(t sinkstest.T, collection string) []string {
	t.Helper()

	cursor, err := b.db.Collection(collection).Find(t.Context(), bson.D{})
	require.NoError(t, err)
	var docs []bson.D
	require.NoError(t, cursor.All(t.Context(), &docs))
	out := make([]string, len(docs))
	for i, doc := range docs {
		if _, made := doc[0].Value.(bson.ObjectID); made {
			doc = doc[1:]
		}
		text, err := bson.MarshalExtJSON(doc, false, false)
		require.NoError(t, err)
		out[i] = string(text)
	}
	slices.Sort(out)
	return out
}

func TestSink_Conforms(t *testing.T) {
	t.Parallel()

	server := servicestest.Mongo(t)
	caps := sinkstest.Caps{Upserts: true, Report: conformance.Of("MongoDB", "FerretDB 1.24 over SQLite")}
	caps.NotShown = map[string]string{
		"WriteConcern": "FerretDB confirms whatever concern it is asked for; TestWriteConcern_IsAskedFor and " +
			"TestWriteConcern_IsNotMet show it with a server of the test's own",
	}
	caps.Own = func(t *testing.T) sinkstest.Harness {
		t.Helper()

		own := servicestest.OwnMongo(t)
		h := harness(t, own.URL())
		h.Kill = func(sinkstest.T) { require.NoError(t, own.Kill()) }
		h.Restart = func(sinkstest.T) { require.NoError(t, own.Restart(t.Context())) }
		return h
	}
	sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
		t.Helper()
		return harness(t, server)
	})
}

// harness is a sink behind a line to the server.
func harness(t *testing.T, server string) sinkstest.Harness {
	t.Helper()

	address, err := url.Parse(server)
	require.NoError(t, err)
	line := sinkstest.NewLine(t, address.Host)
	b := setupOn(t, server, func(cfg *config.MongoSink) {
		cfg.URI, cfg.OnConflict, cfg.IDField = "mongodb://"+line.Addr()+"/?tlsCertificateKeyFilePassword=hunter2", "nothing", "_id"
	})
	return sinkstest.Harness{
		Sink:    b.Sink,
		Payload: func(int) sinks.Payload { return sinks.Payload{Target: "results"} },
		Value:   func(i int) drakkar.Bytes { return encode(t, i, fmt.Sprintf("payload \"%d\" é", i)) },
		Rows:    func(t sinkstest.T) [][]byte { return b.results(t) },
		Bad:     func(int) sinks.Payload { return to("results", `{"n":1,"a.b":2}`) },
		Secrets: []string{"hunter2"},
		Down:    func(sinkstest.T) { line.Down() },
		Up:      func(sinkstest.T) { line.Up() },
		Stall:   func(sinkstest.T) func() { return line.Stall() },
	}
}

func encode(t sinkstest.T, n int, text string) drakkar.Bytes {
	t.Helper()

	value, err := json.Marshal(struct {
		N    int    `json:"n"`
		Text string `json:"text"`
	}{n, text})
	require.NoError(t, err)
	return value
}

// results are the values that the collection holds, without their _id.
func (b *testBundle) results(t sinkstest.T) [][]byte {
	t.Helper()

	cursor, err := b.db.Collection("results").Find(t.Context(), bson.D{})
	require.NoError(t, err)
	var docs []struct {
		N    int
		Text string
	}
	require.NoError(t, cursor.All(t.Context(), &docs))
	out := make([][]byte, len(docs))
	for i, doc := range docs {
		out[i] = encode(t, doc.N, doc.Text)
	}
	return out
}

func TestDeliver_ExtendedJSON(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	value := `{"int":7,"long":9007199254740993,"double":1.5,"at":{"$date":"2026-01-02T03:04:05.678Z"},"bytes":{"$binary":{"base64":"AP8=","subType":"00"}},` +
		`"nothing":null,"yes":true,"list":[1,"two",{"three":[]}],"text":"<&> é \u0001"}`
	require.Empty(t, b.deliver(t, to("voyages", value), to("voyages", " {\n\"_id\" : \"own\" } ")))
	require.Equal(t, []string{`{"_id":"own"}`, value}, b.holds(t, "voyages"))
}

func TestDeliver_RefusedForGood(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	for i, tt := range []struct{ name, collection, value, want string }{
		{"BrokenJSON", "picky", `{"a":`, "not a JSON object"},
		{"Empty", "picky", ``, "not a JSON object"},
		{"LongName", strings.Repeat("x", 250), `{"a":1}`, "more than 255 bytes"},
		{"NoCollection", "", `{"a":1}`, "names no collection"},
		{"NoExtendedJSON", "picky", `{"a":{"$oid":"7"}}`, "Extended JSON"},
		{"NoObject", "picky", `[1]`, "not a JSON object"},
		{"NULInName", "picky", `{"a\u0000b":1}`, "Extended JSON"},
		{"System", "system.users", `{"a":1}`, "is not the name of a collection"},
		{"Trailing", "picky", `{"a":1} {"b":2}`, "not a JSON object"},
		{"Twice", "picky", `{"a":[{"b":{"c":1,"c":2}}]}`, `"c" is there twice`},
		{"WrongID", "picky", `{"_id":[1]}`, "_id"},
		{"WrongName", "a$b", `{"a":1}`, "is not the name of a collection"},
	} {
		// One after the other: they share the collection.
		good := func(n int) sinks.Payload { return to("picky", fmt.Sprintf(`{"_id":%d}`, 4*i+n)) }
		bad := to(tt.collection, tt.value)
		failures := b.deliver(t, good(0), bad, good(1), good(2), bad, good(3))
		require.Len(t, failures, 2, tt.name)
		for k, f := range failures {
			require.Equal(t, []int{1, 4}[k], f.Index, tt.name)
			require.Equal(t, sinks.Permanent, f.Class, "%s: %v", tt.name, f.Err)
			require.ErrorContains(t, f.Err, tt.want, tt.name)
		}
		require.Len(t, b.holds(t, "picky"), 4*(i+1), tt.name)
	}
}

func TestDeliver_OnConflict(t *testing.T) {
	t.Parallel()

	batch := []sinks.Payload{
		to("ships", `{"_id":1,"name":"Long"}`), to("ships", `{"_id":2,"name":"Short"}`), to("fleets", `{"_id":1,"name":"Other"}`),
		to("ships", `{"_id":1,"crew":30}`), to("ships", `{"_id":1,"name":"Last"}`), to("ships", `{"_id":"1","name":"Text"}`),
		to("ships", `{"name":"Nobody"}`),
	}
	for _, tt := range []struct {
		conflict string
		failed   []int
		want     []string
	}{
		{"error", []int{3, 4}, []string{`{"_id":"1","name":"Text"}`, `{"_id":1,"name":"Long"}`, `{"_id":2,"name":"Short"}`, `{"name":"Nobody"}`}},
		{"nothing", nil, []string{`{"_id":"1","name":"Text"}`, `{"_id":1,"name":"Long"}`, `{"_id":2,"name":"Short"}`, `{"name":"Nobody"}`}},
		{"update", nil, []string{`{"_id":"1","name":"Text"}`, `{"_id":1,"name":"Last"}`, `{"_id":2,"name":"Short"}`, `{"name":"Nobody"}`}},
	} {
		t.Run(tt.conflict, func(t *testing.T) {
			t.Parallel()

			b := setup(t, func(cfg *config.MongoSink) { cfg.OnConflict = tt.conflict })
			var failed []int
			for _, f := range b.deliver(t, batch...) {
				failed = append(failed, f.Index)
				require.Equal(t, sinks.Permanent, f.Class)
				require.ErrorContains(t, f.Err, "E11000")
			}
			require.Equal(t, tt.failed, failed)
			require.Equal(t, tt.want, b.holds(t, "ships"))
			require.Equal(t, []string{`{"_id":1,"name":"Other"}`}, b.holds(t, "fleets"))
		})
	}
}

// A key of another type that the server takes for the same is there.
func TestDeliver_KeyOfAnotherType(t *testing.T) {
	t.Parallel()

	b := setup(t, func(cfg *config.MongoSink) { cfg.OnConflict = "nothing" })
	require.Empty(t, b.deliver(t, to("ships", `{"_id":1.0,"name":"Long"}`)))
	require.Empty(t, b.deliver(t, to("ships", `{"_id":1,"name":"Short"}`), to("ships", `{"_id":{"$numberLong":"1"}}`)))
	require.Equal(t, []string{`{"_id":1.0,"name":"Long"}`}, b.holds(t, "ships"))
}

// Nor do such keys change the order in which they came.
func TestDeliver_OneKeyOfTwoTypes(t *testing.T) {
	t.Parallel()

	b := setup(t, func(cfg *config.MongoSink) { cfg.OnConflict = "update" })
	require.Empty(t, b.deliver(t, to("ships", `{"_id":1,"n":1}`), to("ships", `{"_id":1,"n":2}`), to("ships", `{"_id":1.0,"n":3}`)))
	require.Len(t, b.holds(t, "ships"), 1)
	require.Contains(t, b.holds(t, "ships")[0], `"n":3`)
}

func TestDeliver_DeliveryID(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		conflict, field string
		want            []string
	}{
		{"nothing", "_id", []string{`{"_id":"id-1","note":"first"}`}},
		{"update", "_id", []string{`{"_id":"id-1"}`}},
		{"error", "drakkar", []string{`{"_id":"mine","drakkar":"id-1"}`, `{"drakkar":"id-1","note":"first"}`, `{"drakkar":"id-1"}`}},
	} {
		t.Run(tt.conflict, func(t *testing.T) {
			t.Parallel()

			b := setup(t, func(cfg *config.MongoSink) { cfg.OnConflict, cfg.IDField = tt.conflict, tt.field })
			for _, value := range []string{`{"note":"first","drakkar":"another"}`, `{"_id":"mine"}`, `{}`} {
				if tt.field == "_id" {
					value = strings.Replace(value, `,"drakkar":"another"`, "", 1)
				}
				p := to("notes", value)
				p.ID = "id-1"
				require.Empty(t, b.deliver(t, p))
			}
			require.ElementsMatch(t, tt.want, b.holds(t, "notes"))
		})
	}
}

// Those that overwrite the same documents at the same time do not hinder each
// other.
func TestDeliver_ConcurrentUpdatesOfTheSameDocuments(t *testing.T) {
	t.Parallel()

	b := setup(t, func(cfg *config.MongoSink) { cfg.OnConflict = "update" })
	const docs, rounds = 20, 3
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	done := make(chan []sinks.Failure)
	for d := range 4 {
		go func() {
			var failures []sinks.Failure
			for round := range rounds {
				var batch []sinks.Payload
				for i := range docs {
					batch = append(batch, to("counters", fmt.Sprintf(`{"_id":%d,"n":%d}`, (i*(2*d+1)+round)%docs, round)))
				}
				failures = append(failures, sinks.Failures(docs, b.Deliver(ctx, batch))...)
			}
			done <- failures
		}()
	}
	for range 4 {
		require.Empty(t, <-done)
	}
	require.Len(t, b.holds(t, "counters"), docs)
}

func TestNew(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name, uri, database, field, want string
	}{
		{"BadURI", "mongodb://u:s3cr/et@host/", "d", "", "sinks.mongo.main.uri: it is not a connection string"},
		{"Database", "mongodb://host/", "a.b", "", "sinks.mongo.main.database:"},
		{"Field", "mongodb://host/", "d", "a.b", "sinks.mongo.main.id_field:"},
		{"MissingFile", "mongodb://u:s3cr@host/?tls=true&tlsCAFile=/no/such/file", "d", "", "/no/such/file"},
		{"NoSuchHost", "mongodb+srv://u:s3cr@nowhere.invalid/", "d", "", "looking up its hosts"},
		{"PercentSign", "mongodb://u:s3cr%zz@host/", "d", "", "percent-encode"},
		{"Scheme", "http://u:s3cr@host/", "d", "", "use mongodb://"},
		{"TwoAts", "mongodb://u:s3cr@et@host/", "d", "", "percent-encode"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			cfg := settings(tt.uri, tt.database)
			cfg.IDField = tt.field
			_, err := mongo.New("main", cfg)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, fmt.Sprintf("%+v", err), "s3cr")
		})
	}
}

func TestSink_Closed(t *testing.T) {
	t.Parallel()

	s := newSink(t, settings("mongodb://127.0.0.1:1/", "d"))
	require.NoError(t, s.Close(t.Context()))
	require.Error(t, s.Check(t.Context()))
	failures := deliver(t, s, to("c", `{}`))
	require.Equal(t, sinks.Transient, failures[0].Class)
}
