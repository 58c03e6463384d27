package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// The types of columns are believed for a while, and asked for again then.
func TestTableTypes(t *testing.T) {
	t.Parallel()

	dsn, _ := servicestest.PostgresSchema(t, servicestest.Postgres(t))
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	t.Cleanup(conn.Release)
	_, err = conn.Exec(t.Context(), "CREATE TABLE ships (name text)")
	require.NoError(t, err)

	var types tableTypes
	known, err := types.of(t.Context(), conn, "ships")
	require.NoError(t, err)
	require.Len(t, known, 1)
	_, err = conn.Exec(t.Context(), "ALTER TABLE ships ADD COLUMN length int")
	require.NoError(t, err)

	types.known["ships"] = knownTypes{asked: time.Now().Add(time.Hour), types: known}
	known, err = types.of(t.Context(), conn, "ships")
	require.NoError(t, err)
	require.Len(t, known, 1)

	types.known["ships"] = knownTypes{asked: time.Now().Add(-typesFor), types: known}
	known, err = types.of(t.Context(), conn, "ships")
	require.NoError(t, err)
	require.Len(t, known, 2)
}
