package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/postgres"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// benchBatch is the default of batch_size.
const benchBatch = 1000

// Payloads a second through the sink, beside what the driver offers for many
// rows, of values that are typed already: a batch of inserts, and COPY.
func BenchmarkDeliver(b *testing.B) {
	dsn, _ := servicestest.PostgresSchema(b, servicestest.Postgres(b))
	pool, err := pgxpool.New(b.Context(), dsn)
	require.NoError(b, err)
	defer pool.Close()
	_, err = pool.Exec(b.Context(), "CREATE TABLE bench (id text, file text, line int, words jsonb)")
	require.NoError(b, err)

	s, err := postgres.New("bench", settings(dsn))
	require.NoError(b, err)
	defer func() { _ = s.Close(context.Background()) }()
	batch := make([]sinks.Payload, benchBatch)
	for i := range batch {
		batch[i] = to("bench", fmt.Sprintf(`{"id":"orders~ab12/0/%d/m/0","file":"src/net/http/server.go","line":%d,"words":["one","two"]}`, i, i))
	}
	for name, bare := range map[string]func(*testing.B, *pgxpool.Pool){"inserts": bareInserts, "copy": bareCopy} {
		b.Run(name, func(b *testing.B) {
			sinkstest.Compare(b, benchBatch, func() {
				require.NoError(b, s.Deliver(b.Context(), batch))
			}, func() { bare(b, pool) })
			_, err := pool.Exec(b.Context(), "TRUNCATE bench")
			require.NoError(b, err)
		})
	}
}

func benchRow(i int) []any {
	return []any{fmt.Sprintf("orders~ab12/0/%d/m/0", i), "src/net/http/server.go", i, []string{"one", "two"}}
}

func bareInserts(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()

	rows := &pgx.Batch{}
	for i := range benchBatch {
		rows.Queue("INSERT INTO bench (id, file, line, words) VALUES ($1, $2, $3, $4)", benchRow(i)...)
	}
	require.NoError(b, pool.SendBatch(b.Context(), rows).Close())
}

func bareCopy(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()

	_, err := pool.CopyFrom(b.Context(), pgx.Identifier{"bench"}, []string{"id", "file", "line", "words"},
		pgx.CopyFromSlice(benchBatch, func(i int) ([]any, error) { return benchRow(i), nil }))
	require.NoError(b, err)
}
