package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/services"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/postgres"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
	"github.com/drakkar-go/drakkar/sinks/sinkstest/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// enough is how long anything may take.
const enough = time.Minute

// settings are those of a sink for tests.
func settings(dsn string) config.PostgresSink {
	return config.PostgresSink{DSN: dsn, PoolMax: 10, OnConflict: "error"}
}

type testBundle struct {
	*postgres.Sink
	dsn, schema string
	pool        *pgxpool.Pool // of the test, past the sink
}

// setup makes a schema with what the statements create, and a sink.
func setup(t *testing.T, server, create string, change func(*config.PostgresSink)) *testBundle {
	t.Helper()

	dsn, schema := servicestest.PostgresSchema(t, server)
	b := &testBundle{dsn: dsn, schema: schema}
	var err error
	b.pool, err = pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(b.pool.Close)
	b.exec(t, create)
	cfg := settings(dsn)
	if change != nil {
		change(&cfg)
	}
	b.Sink, err = postgres.New("main", cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), enough)
		defer cancel()
		require.NoError(t, b.Sink.Close(ctx))
	})
	return b
}

func (b *testBundle) exec(t *testing.T, sql string) {
	t.Helper()

	_, err := b.pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// rows are what a query yields, each row as text.
func (b *testBundle) rows(t sinkstest.T, query string) []string {
	t.Helper()

	rows, err := b.pool.Query(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	var out []string
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		out = append(out, text)
	}
	require.NoError(t, rows.Err())
	return out
}

// waiting is how many wait for a lock of a table.
func (b *testBundle) waiting(t *testing.T) int {
	t.Helper()

	return len(b.rows(t, `SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace s
		ON s.oid = c.relnamespace WHERE NOT l.granted AND s.nspname = '`+b.schema+`'`))
}

func (b *testBundle) deliver(t *testing.T, batch ...sinks.Payload) []sinks.Failure {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	return sinks.Failures(len(batch), b.Deliver(ctx, batch))
}

// to is a payload for a table.
func to(table, value string) sinks.Payload {
	return sinks.Payload{ID: "orders~ab12/0/7/m/0", Target: table, Value: drakkar.Bytes(value)}
}

func TestSink_Conforms(t *testing.T) {
	t.Parallel()

	server := servicestest.Postgres(t)
	caps := sinkstest.Caps{Upserts: true, Report: conformance.Of("PostgreSQL", "PostgreSQL 15")}
	caps.Own = func(t *testing.T) sinkstest.Harness {
		t.Helper()

		own := servicestest.OwnPostgres(t)
		b, h := harness(t, own.URL())
		h.Kill = func(sinkstest.T) { require.NoError(t, own.Kill()) }
		h.Restart = func(sinkstest.T) {
			require.NoError(t, own.Restart(t.Context()))
			// The test's own connections are broken, too.
			require.Eventually(t, func() bool { return b.pool.Ping(t.Context()) == nil }, enough, 50*time.Millisecond)
		}
		return h
	}
	sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
		t.Helper()

		_, h := harness(t, server)
		return h
	})
}

// harness is a sink behind a line to the server.
func harness(t *testing.T, server string) (*testBundle, sinkstest.Harness) {
	t.Helper()

	address, err := url.Parse(server)
	require.NoError(t, err)
	line := sinkstest.NewLine(t, address.Host)
	b := setup(t, server, "CREATE TABLE results (drakkar_id text PRIMARY KEY, n int, text text)",
		func(cfg *config.PostgresSink) {
			through, err := url.Parse(cfg.DSN)
			require.NoError(t, err)
			through.Host = line.Addr()
			cfg.DSN, cfg.OnConflict, cfg.IDColumn = through.String(), "update", "drakkar_id"
		})
	return b, sinkstest.Harness{
		Sink:    b.Sink,
		Payload: func(int) sinks.Payload { return sinks.Payload{Target: "results"} },
		Value:   func(i int) drakkar.Bytes { return encode(t, i, fmt.Sprintf("payload \"%d\" é", i)) },
		Rows:    func(t sinkstest.T) [][]byte { return b.results(t) },
		Bad:     func(int) sinks.Payload { return to("results", `{"n":"many","text":"x"}`) },
		Secrets: []string{services.PostgresPassword},
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

// results are the values that the table holds.
func (b *testBundle) results(t sinkstest.T) [][]byte {
	t.Helper()

	rows, err := b.pool.Query(t.Context(), "SELECT n, text FROM results")
	require.NoError(t, err)
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var n int
		var text string
		require.NoError(t, rows.Scan(&n, &text))
		out = append(out, encode(t, n, text))
	}
	require.NoError(t, rows.Err())
	return out
}

func TestDeliver_ValuesSuitTheirColumns(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), `
		CREATE TYPE mood AS ENUM ('calm', 'rough');
		CREATE TABLE voyages (big bigint, exact numeric, ratio float8, at timestamptz, day date, ok bool, sea mood,
			tags text[], doc jsonb, raw json, words text, absent int DEFAULT 7, nothing int DEFAULT 7)`, nil)
	require.Empty(t, b.deliver(t, to("voyages", `{"big":9007199254740993,"exact":123456789012345678901234567890.000000001,"ratio":1e-7,
		"at":"2026-01-02T03:04:05.678901+02:00","day":"2026-01-02","ok":true,"sea":"rough","tags":["a","b,c"],
		"doc":{"b":[1,{"c":null}],"n":12345678901234567890.5},"raw":{"z":1,  "a":"\u00e9"},"words":{"k":[1, 2]},"nothing":null}`)))
	require.Equal(t, []string{
		`9007199254740993|123456789012345678901234567890.000000001|1e-07|2026-01-02 01:04:05.678901|2026-01-02|true|rough|` +
			`a;b,c|{"b": [1, {"c": null}], "n": 12345678901234567890.5}|{"z":1,  "a":"\u00e9"}|{"k":[1, 2]}|7|NULL`,
	}, b.rows(t, `SELECT concat_ws('|', big, exact, ratio, at AT TIME ZONE 'UTC', day, ok::text, sea,
		array_to_string(tags, ';'), doc, raw, words, absent, coalesce(nothing::text, 'NULL')) FROM voyages`))
}

func TestDeliver_TablesAndColumns(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), `
		CREATE TABLE plain (n int);
		CREATE TABLE "Mixed" ("userId" int, "two words" int, "quo""te" int, sélect int, "from" int)`, nil)
	require.Empty(t, b.deliver(t,
		to("plain", `{"n":1}`),
		to(b.schema+".plain", `{"n":2}`),
		to("Mixed", `{"userId":3,"two words":4,"quo\"te":5,"s\u00e9lect":6,"from":7}`),
		to("Mixed", `{"userId":8}`),
		to("plain", `{"n":9,"n":10}`),
	))
	require.Equal(t, []string{"1", "2", "10"}, b.rows(t, "SELECT n::text FROM plain ORDER BY plain.n"))
	require.Equal(t, []string{"3 4 5 6 7", "8"},
		b.rows(t, `SELECT concat_ws(' ', "userId", "two words", "quo""te", sélect, "from") FROM "Mixed" ORDER BY 1`))
}

func TestDeliver_RefusedForGood(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), `
		CREATE TABLE parents (id int PRIMARY KEY);
		CREATE TABLE picky (
			n int NOT NULL UNIQUE, word varchar(5), big bigint, ratio float8, doc jsonb, at timestamptz,
			parent int REFERENCES parents, positive int CHECK (positive > 0), double int GENERATED ALWAYS AS (n * 2) STORED);
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.word = 'stop' THEN RAISE EXCEPTION 'the trigger says no'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON picky FOR EACH ROW EXECUTE FUNCTION refuse()`, nil)
	for i, tt := range []struct{ name, table, value, want string }{
		{"BrokenJSON", "picky", `{"n":`, "not a JSON object"},
		{"Check", "picky", `{"n":-1,"positive":0}`, "positive"},
		{"ForeignKey", "picky", `{"n":-1,"parent":1}`, "parent"},
		{"Generated", "picky", `{"n":-1,"double":4}`, "double"},
		{"HalfASurrogate", "picky", `{"n":-1,"word":"\ud800"}`, `column "word"`},
		{"InvalidUTF8", "picky", "{\"n\":-1,\"word\":\"\xff\"}", `column "word"`},
		{"LongName", "picky", `{"n":-1,"` + strings.Repeat("x", 64) + `":1}`, "cannot be a column"},
		{"NUL", "picky", `{"n":-1,"word":"a\u0000b"}`, `column "word"`},
		{"NULInJSONB", "picky", `{"n":-1,"doc":{"a":"\u0000"}}`, `column "doc"`},
		{"NaN", "picky", `{"n":-1,"big":"NaN"}`, `column "big"`},
		{"NoDate", "picky", `{"n":-1,"at":"yesterday or so"}`, `column "at"`},
		{"NoFields", "picky", `{}`, "without fields"},
		{"NoObject", "picky", `[1]`, "not a JSON object"},
		{"NoTable", "", `{"n":-1}`, "names no table"},
		{"Null", "picky", `{"n":null}`, `column "n"`},
		{"ThreeParts", "a.b.c", `{"n":-1}`, "schema.table"},
		{"TooLarge", "picky", `{"n":-1,"big":9223372036854775808}`, `column "big"`},
		{"TooLong", "picky", `{"n":-1,"word":"longer"}`, `column "word"`},
		{"TooLongFloat", "picky", `{"n":-1,"ratio":1e400}`, `column "ratio"`},
		{"Trigger", "picky", `{"n":-1,"word":"stop"}`, "the trigger says no"},
		{"Twice", "picky", `{"n":0}`, "picky_n_key"},
		{"UnknownColumn", "picky", `{"n":-1,"colour":"red"}`, `"colour"`},
		{"UnknownSchema", "nowhere.picky", `{"n":-1}`, `"nowhere`},
		{"UnknownTable", "nobody", `{"n":-1}`, `"nobody"`},
		{"WrongName", `picky"; DROP TABLE picky; --`, `{"n":-1}`, "is not the name of a table"},
		{"WrongType", "picky", `{"n":"many"}`, `column "n"`},
	} {
		// One after the other: they share the table.
		good := func(n int) sinks.Payload { return to("picky", fmt.Sprintf(`{"n":%d,"word":"ok"}`, n)) }
		if i == 0 {
			require.Empty(t, b.deliver(t, good(0)))
		}
		first := 10 + 4*i
		bad := to(tt.table, tt.value)
		failures := b.deliver(t, good(first), bad, good(first+1), good(first+2), bad, good(first+3))
		require.Len(t, failures, 2, tt.name)
		for k, f := range failures {
			require.Equal(t, []int{1, 4}[k], f.Index, tt.name)
			require.Equal(t, sinks.Permanent, f.Class, "%s: %v", tt.name, f.Err)
			require.ErrorContains(t, f.Err, tt.want, tt.name)
		}
		require.Equal(t, []string{fmt.Sprint(4 * (i + 1))}, b.rows(t, "SELECT count(*)::text FROM picky WHERE n > 0"), tt.name)
	}
}

func TestDeliver_OnConflict(t *testing.T) {
	t.Parallel()

	const create = "CREATE TABLE ships (fleet text, no int, name text, crew int DEFAULT 1, UNIQUE (fleet, no))"
	batch := []sinks.Payload{
		to("ships", `{"fleet":"a","no":1,"name":"Long","crew":30}`),
		to("ships", `{"fleet":"a","no":2,"name":"Short"}`),
		to("ships", `{"fleet":"a","no":1,"name":"Renamed"}`),
		to("ships", `{"fleet":"a","no":1,"name":"Again","crew":31}`),
		to("ships", `{"fleet":"b","no":1,"name":"Other"}`),
		to("ships", `{"fleet":"a","no":1,"name":"Last"}`),
		to("ships", `{"fleet":"\u0061","no":1,"name":"Very last"}`), // the same key, written otherwise
	}
	const query = "SELECT concat_ws(' ', fleet, no, name, crew) FROM ships ORDER BY fleet, no"
	for _, tt := range []struct {
		conflict string
		columns  []string
		failed   int
		want     []string
	}{
		{"error", nil, 4, []string{"a 1 Long 30", "a 2 Short 1", "b 1 Other 1"}},
		{"nothing", nil, 0, []string{"a 1 Long 30", "a 2 Short 1", "b 1 Other 1"}},
		{"nothing", []string{"fleet", "no"}, 0, []string{"a 1 Long 30", "a 2 Short 1", "b 1 Other 1"}},
		{"update", []string{"fleet", "no"}, 0, []string{"a 1 Very last 31", "a 2 Short 1", "b 1 Other 1"}},
	} {
		t.Run(fmt.Sprint(tt.conflict, len(tt.columns)), func(t *testing.T) {
			t.Parallel()

			b := setup(t, servicestest.Postgres(t), create, func(cfg *config.PostgresSink) {
				cfg.OnConflict, cfg.ConflictColumns = tt.conflict, tt.columns
			})
			require.Len(t, b.deliver(t, batch...), tt.failed)
			require.Equal(t, tt.want, b.rows(t, query))
		})
	}
}

// Keys that only the server can tell to be the same keep their order, too.
func TestDeliver_OneKeyWrittenInTwoWays(t *testing.T) {
	t.Parallel()

	for _, keys := range [][]string{{"1.0", "1.00", "1"}, {"1", "1", "1.0"}, {"1.0", "1", "1", "2", "1.0", "2"}} {
		t.Run(strings.Join(keys, " "), func(t *testing.T) {
			t.Parallel()

			b := setup(t, servicestest.Postgres(t), "CREATE TABLE ships (no numeric UNIQUE, n int)", func(cfg *config.PostgresSink) {
				cfg.OnConflict, cfg.ConflictColumns = "update", []string{"no"}
			})
			batch := make([]sinks.Payload, len(keys))
			last := 0
			for i, key := range keys {
				batch[i] = to("ships", fmt.Sprintf(`{"no":%s,"n":%d}`, key, i))
				if key != "2" {
					last = i
				}
			}
			require.Empty(t, b.deliver(t, batch...))
			require.Equal(t, []string{fmt.Sprint(last)}, b.rows(t, "SELECT n::text FROM ships WHERE no = 1"))
		})
	}
}

func TestDeliver_DeliveryID(t *testing.T) {
	t.Parallel()

	for conflict, want := range map[string]string{"nothing": "id-1 first 1", "update": "id-1 second 1"} {
		t.Run(conflict, func(t *testing.T) {
			t.Parallel()

			b := setup(t, servicestest.Postgres(t), `CREATE TABLE notes ("the ""id""" text UNIQUE, note text, n int DEFAULT 1)`,
				func(cfg *config.PostgresSink) { cfg.OnConflict, cfg.IDColumn = conflict, `the "id"` })
			for _, value := range []string{`{"note":"first","the \"id\"":"mine"}`, `{ "note":"second" }`, `{}`} {
				p := to("notes", value)
				p.ID = "id-1"
				require.Empty(t, b.deliver(t, p))
			}
			require.Equal(t, []string{want}, b.rows(t, `SELECT concat_ws(' ', "the ""id""", note, n) FROM notes`))
		})
	}
}

// Those that overwrite the same rows at the same time do not lock each other
// out, whatever the order of their payloads.
func TestDeliver_ConcurrentUpdatesOfTheSameRows(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), "CREATE TABLE counters (id int PRIMARY KEY, n int)", func(cfg *config.PostgresSink) {
		cfg.OnConflict, cfg.ConflictColumns = "update", []string{"id"}
	})
	const rows, rounds = 200, 20
	done := make(chan []sinks.Failure)
	for d := range 4 {
		go func() {
			var failures []sinks.Failure
			for round := range rounds {
				var batch []sinks.Payload
				for i := range rows {
					id := (i*(2*d+1) + round) % rows
					batch = append(batch, to("counters", fmt.Sprintf(`{"id":%d,"n":%d}`, id, round)))
				}
				failures = append(failures, sinks.Failures(rows, b.Deliver(t.Context(), batch))...)
			}
			done <- failures
		}()
	}
	for range 4 {
		require.Empty(t, <-done)
	}
	require.Equal(t, []string{"200"}, b.rows(t, "SELECT count(*)::text FROM counters"))
}

func TestDeliver_SplitsWhatIsLarge(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), "CREATE TABLE large (text text)", nil)
	value := `{"text":"` + strings.Repeat("drakkar ", 400_000) + `"}` // 3 MB
	require.Empty(t, b.deliver(t, to("large", value), to("large", value), to("large", value), to("large", value), to("large", value)))
	require.Equal(t, []string{"5"}, b.rows(t, "SELECT count(*)::text FROM large WHERE length(text) = 3200000"))
}

// A row that the database's own rules refuse, whatever they call it, holds no
// others. Whether it may be tried again is for the SQLSTATE to say.
func TestDeliver_RefusedByOwnRules(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), `
		CREATE TABLE guarded (n int, code text, hidden bool);
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			CASE NEW.code WHEN 'no case' THEN NULL; WHEN 'assert' THEN ASSERT false;
				WHEN 'strict' THEN SELECT n INTO STRICT NEW.n FROM guarded WHERE false;
				WHEN 'no table' THEN EXECUTE 'SELECT 1 FROM nobody'; WHEN 'no column' THEN EXECUTE 'SELECT nobody FROM guarded';
				WHEN 'no function' THEN EXECUTE 'SELECT nobody()'; WHEN 'no schema' THEN EXECUTE 'CREATE TABLE nowhere.nobody ()';
				WHEN 'no grant' THEN EXECUTE 'SELECT 1 FROM pg_authid'; WHEN 'no database' THEN EXECUTE 'SELECT 1 FROM a.b.c';
				WHEN 'no value' THEN PERFORM lastval(); ELSE NULL; END CASE;
			IF NEW.code = 'no case' THEN CASE WHEN false THEN NULL; END CASE; END IF;
			IF length(NEW.code) = 5 THEN RAISE EXCEPTION 'no' USING ERRCODE = NEW.code; END IF;
			RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION refuse();
		ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
		CREATE POLICY shown ON guarded USING (hidden IS NULL);
		DO $$ BEGIN CREATE ROLE guest; EXCEPTION WHEN OTHERS THEN END $$`,
		// Policies do not hold for the superuser.
		func(cfg *config.PostgresSink) { cfg.DSN += "&role=guest" })
	b.exec(t, "GRANT USAGE ON SCHEMA "+b.schema+" TO guest; GRANT ALL ON guarded TO guest")
	for i, tt := range []struct {
		bad, want string
		class     sinks.Class
	}{
		{`{"n":-1,"hidden":true,"code":null}`, "row-level security", sinks.Permanent},
		{`{"n":-1,"code":"MY001","hidden":null}`, "MY001", sinks.Permanent},
		{`{"n":-1,"code":"45000","hidden":null}`, "45000", sinks.Permanent},
		{`{"n":-1,"code":"assert","hidden":null}`, "P0004", sinks.Permanent},
		{`{"n":-1,"code":"no case","hidden":null}`, "20000", sinks.Permanent},
		{`{"n":-1,"code":"strict","hidden":null}`, "P0002", sinks.Permanent},
		{`{"n":-1,"code":"42501","hidden":null}`, "42501", sinks.Transient},
		{`{"n":-1,"code":"55000","hidden":null}`, "55000", sinks.Transient},
		{`{"n":-1,"code":"XX000","hidden":null}`, "XX000", sinks.Transient},
		{`{"n":-1,"code":"no table","hidden":null}`, "42P01", sinks.Transient},
		{`{"n":-1,"code":"no column","hidden":null}`, "42703", sinks.Transient},
		{`{"n":-1,"code":"no function","hidden":null}`, "42883", sinks.Transient},
		{`{"n":-1,"code":"no schema","hidden":null}`, "3F000", sinks.Transient},
		{`{"n":-1,"code":"no grant","hidden":null}`, "42501", sinks.Transient},
		{`{"n":-1,"code":"no database","hidden":null}`, "0A000", sinks.Transient},
		{`{"n":-1,"code":"no value","hidden":null}`, "55000", sinks.Transient},
	} {
		good := to("guarded", fmt.Sprintf(`{"n":%d,"code":null,"hidden":null}`, i))
		failures := b.deliver(t, good, to("guarded", tt.bad), good, good)
		require.Len(t, failures, 1, tt.want)
		require.Equal(t, 1, failures[0].Index, tt.want)
		require.Equal(t, tt.class, failures[0].Class, tt.want)
		require.ErrorContains(t, failures[0].Err, tt.want)
		require.Equal(t, []string{fmt.Sprint(3 * (i + 1))}, b.rows(t, "SELECT count(*)::text FROM guarded"), tt.want)
	}
}

// What is not the payloads' fault is tried again.
func TestDeliver_MayPass(t *testing.T) {
	t.Parallel()

	param := func(name, value string) func(*config.PostgresSink) {
		return func(cfg *config.PostgresSink) { cfg.DSN += "&" + name + "=" + value }
	}
	login := func(user, password string) func(*config.PostgresSink) {
		return func(cfg *config.PostgresSink) {
			cfg.DSN = strings.Replace(cfg.DSN, services.PostgresUser+":"+services.PostgresPassword, user+":"+password, 1)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*config.PostgresSink)
		want   string
	}{
		{"NoGrant", login("stowaway", "s3cret-of-his"), "42501"},
		{"NoRole", param("role", "nobody_at_all"), "22023"},
		{"NoIndex", func(cfg *config.PostgresSink) { cfg.OnConflict, cfg.ConflictColumns = "update", []string{"n"} }, "42P10"},
		{"ReadOnly", param("default_transaction_read_only", "on"), "25006"},
		{"Timeout", param("statement_timeout", "1"), "57014"},
		{"WrongPassword", login("drakkar", "s3cret-of-his"), "28P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			server := servicestest.Postgres(t)
			b := setup(t, server, `CREATE TABLE t (n int, slow text);
				CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
				CREATE TRIGGER wait BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait();
				DO $$ BEGIN CREATE ROLE stowaway LOGIN PASSWORD 's3cret-of-his'; EXCEPTION WHEN OTHERS THEN END $$;`, tt.change)
			b.exec(t, "GRANT USAGE ON SCHEMA "+b.schema+" TO stowaway")
			failures := b.deliver(t, to("t", `{"n":1}`), to("t", `{"n":2}`))
			require.Len(t, failures, 2)
			for _, f := range failures {
				require.Equal(t, sinks.Transient, f.Class, "%v", f.Err)
				require.ErrorContains(t, f.Err, tt.want)
				require.NotContains(t, fmt.Sprintf("%+v", f.Err), "s3cret")
				require.NotContains(t, fmt.Sprintf("%+v", f.Err), services.PostgresPassword)
			}
		})
	}
}

// A table that somebody holds is waited for until the deadline, and what was
// given up then is not written later on.
func TestDeliver_LockedTable(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), "CREATE TABLE t (n int)", nil)
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE t")
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	failures := sinks.Failures(1, b.Deliver(ctx, []sinks.Payload{to("t", `{"n":1}`)}))
	require.Len(t, failures, 1)
	require.Equal(t, sinks.Transient, failures[0].Class)
	require.ErrorIs(t, failures[0].Err, context.DeadlineExceeded)
	// The server learns that nobody waits any more, and only then may go on.
	require.Eventually(t, func() bool { return b.waiting(t) == 0 }, enough, 20*time.Millisecond)
	require.NoError(t, tx.Rollback(t.Context()))

	require.Empty(t, b.deliver(t, to("t", `{"n":2}`)))
	require.Equal(t, []string{"2"}, b.rows(t, "SELECT n::text FROM t"))
}

func TestNew(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct{ name, dsn, id, want string }{
		{"BadURL", "postgres://u:s3cr/et@host:5432/d", "", "percent-encoded"},
		{"IDColumn", "postgres://host/d", strings.Repeat("x", 64), "id_column"},
		{"NoConnectionString", "host=h sslmode=perhaps password=s3cr", "", "connection string"},
		{"PercentSign", "postgres://u:s3cr%zz@host/d", "", "percent-encoded"},
		{"TwoAts", "postgres://u:s3cr@et@host/d", "", "percent-encoded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			cfg := settings(tt.dsn)
			cfg.IDColumn = tt.id
			_, err := postgres.New("main", cfg)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "sinks.postgres.main.")
			require.NotContains(t, fmt.Sprintf("%+v", err), "s3cr")
		})
	}
}

func TestPool(t *testing.T) {
	t.Parallel()

	s, err := postgres.New("main", settings("postgres://127.0.0.1:1/d"))
	require.NoError(t, err)
	defer s.Close(t.Context())

	ctx := postgres.WithPools(t.Context(), map[string]*pgxpool.Pool{"main": s.Pool()})
	for _, name := range []string{"", "main"} {
		pool, err := postgres.Pool(ctx, name)
		require.NoError(t, err)
		require.Same(t, s.Pool(), pool)
	}
	_, err = postgres.Pool(ctx, "other")
	require.ErrorContains(t, err, `"other"`)
	_, err = postgres.Pool(t.Context(), "")
	require.Error(t, err)
}
