package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
)

// many are as many payloads as COPY is used for, and the given ones.
func many(table string, value func(i int) string, more ...sinks.Payload) []sinks.Payload {
	batch := make([]sinks.Payload, 0, 300)
	for i := range 300 {
		batch = append(batch, to(table, value(i)))
	}
	return append(batch, more...)
}

// What COPY writes is what INSERT would have written.
func TestCopy_WritesWhatInsertDoes(t *testing.T) {
	t.Parallel()

	const columns = "n int, exact numeric, words text, doc jsonb, raw json, at timestamptz, ok bool, sea mood, gone text, how text DEFAULT left(current_query(), 6)"
	b := setup(t, servicestest.Postgres(t), "CREATE TYPE mood AS ENUM ('calm', 'rough'); CREATE TABLE copied ("+columns+"); CREATE TABLE inserted ("+columns+", tags text[])", nil)
	texts := []string{
		`"plain"`, `"tab\tline\nreturn\rback\\slash \\N \\."`, `"\u00e9 é \"quoted\""`, `""`, `"null"`, `null`, `7`, `true`, `{"k":[1, 2]}`,
	}
	value := func(i int) string {
		return fmt.Sprintf(`{"n":%d,"exact":123456789012345678901234567890.%09d,"words":%s,"doc":%s,"raw":%s,"at":"2026-01-02T03:04:05.678901+02:00","ok":true,"sea":"rough","gone":null`,
			i, i, texts[i%len(texts)], texts[i%len(texts)], texts[i%len(texts)])
	}
	// An array is what COPY does not write.
	require.Empty(t, b.deliver(t, many("copied", func(i int) string { return value(i) + "}" })...))
	require.Empty(t, b.deliver(t, many("inserted", func(i int) string { return value(i) + `,"tags":["a","b"]}` })...))
	const all = "SELECT concat_ws('|', n, exact, coalesce(words, 'NULL'), coalesce(doc::text, 'NULL'), coalesce(raw::jsonb::text, 'NULL'), at, ok, sea, coalesce(gone, 'NULL')) FROM "
	copied := b.rows(t, all+"copied ORDER BY n")
	require.Len(t, copied, 300)
	require.Equal(t, b.rows(t, all+"inserted ORDER BY n"), copied)
	require.Equal(t, []string{"COPY \""}, b.rows(t, "SELECT DISTINCT how FROM copied"))
	require.Equal(t, []string{"INSERT"}, b.rows(t, "SELECT DISTINCT how FROM inserted"))
}

// What COPY refuses is tried again until the rows that are at fault stand alone.
func TestCopy_BadRowsStandAlone(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), "CREATE TABLE picky (n int UNIQUE, word varchar(5), doc jsonb)", nil)
	for name, bad := range map[string]string{
		"half a surrogate": `{"n":-1,"word":"\ud800"}`, "NUL": `{"n":-1,"word":"\u0000"}`, "too long": `{"n":-1,"word":"longer"}`,
		"twice": `{"n":7,"word":"x"}`, "wrong": `{"n":"many","word":"x"}`, "not UTF-8": "{\"n\":-1,\"word\":\"\xff\"}",
	} {
		b.exec(t, "TRUNCATE picky")
		batch := many("picky", func(i int) string { return fmt.Sprintf(`{"n":%d,"word":"ok"}`, i) }, to("picky", bad))
		failures := b.deliver(t, batch...)
		require.Len(t, failures, 1, name)
		require.Equal(t, 300, failures[0].Index, name)
		require.Equal(t, sinks.Permanent, failures[0].Class, "%s: %v", name, failures[0].Err)
		require.Equal(t, []string{"300"}, b.rows(t, "SELECT count(*)::text FROM picky"), name)
	}
	for _, table := range []string{"nobody", "nowhere.picky"} {
		failures := b.deliver(t, many(table, func(i int) string { return fmt.Sprintf(`{"n":%d}`, i) })...)
		require.Len(t, failures, 300)
		require.Equal(t, sinks.Permanent, failures[0].Class, "%v", failures[0].Err)
	}
}

// A view takes INSERT alone, and arrays are for INSERT to translate.
func TestCopy_NotForEveryTable(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), `CREATE TABLE kept (n int, list int[]); CREATE VIEW shown AS SELECT n FROM kept`, nil)
	require.Empty(t, b.deliver(t, many("shown", func(i int) string { return fmt.Sprintf(`{"n":%d}`, i) })...))
	require.Empty(t, b.deliver(t, many("kept", func(i int) string { return fmt.Sprintf(`{"n":%d,"list":[1,2]}`, i) })...))
	require.Equal(t, []string{"600"}, b.rows(t, "SELECT count(*)::text FROM kept"))
	require.Equal(t, []string{"300"}, b.rows(t, "SELECT count(*)::text FROM kept WHERE list = '{1,2}'"))
}

// A rule for INSERT is kept to, and a column that is always generated takes no
// value.
func TestCopy_KeepsToWhatInsertDoes(t *testing.T) {
	t.Parallel()

	b := setup(t, servicestest.Postgres(t), `
		CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY, n int); CREATE TABLE ruled (n int); CREATE TABLE noted (n int);
		CREATE RULE note AS ON INSERT TO ruled DO ALSO INSERT INTO noted VALUES (NEW.n)`, nil)
	failures := b.deliver(t, many("numbered", func(i int) string { return fmt.Sprintf(`{"id":%d,"n":1}`, i) })...)
	require.Len(t, failures, 300)
	require.Equal(t, sinks.Permanent, failures[0].Class)
	require.ErrorContains(t, failures[0].Err, "428C9")
	require.Empty(t, b.deliver(t, many("ruled", func(i int) string { return fmt.Sprintf(`{"n":%d}`, i) })...))
	require.Equal(t, []string{"300"}, b.rows(t, "SELECT count(*)::text FROM noted"))
}

// What waits while a column gets another type is written as that one.
func TestCopy_TypeThatChanges(t *testing.T) {
	t.Parallel()

	for _, isolation := range []string{"read committed", "repeatable read"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()

			b := setup(t, servicestest.Postgres(t), "CREATE TABLE moved (n int, doc text)", func(cfg *config.PostgresSink) {
				cfg.DSN += "&default_transaction_isolation=" + url.PathEscape(isolation)
			})
			tx, err := b.pool.Begin(t.Context())
			require.NoError(t, err)
			t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // the pool waits for it
			_, err = tx.Exec(t.Context(), "ALTER TABLE moved ALTER doc TYPE jsonb USING to_jsonb(doc)")
			require.NoError(t, err)
			done := make(chan []sinks.Failure, 1)
			go func() {
				batch := many("moved", func(i int) string { return fmt.Sprintf(`{"n":%d,"doc":"7"}`, i) })
				done <- sinks.Failures(len(batch), b.Deliver(t.Context(), batch))
			}()
			require.Eventually(t, func() bool { return b.waiting(t) > 0 }, enough, 10*time.Millisecond)
			require.NoError(t, tx.Commit(t.Context()))
			require.Empty(t, <-done)
			require.Equal(t, []string{"string 300"}, b.rows(t, "SELECT jsonb_typeof(doc) || ' ' || count(*) FROM moved GROUP BY jsonb_typeof(doc)"))
		})
	}
}
