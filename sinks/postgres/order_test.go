package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/integration/services/servicestest"
	"github.com/drakkar-go/drakkar/sinks"
)

// setupGate makes tables with a key no. To write a ship named first needs a lock,
// which the transaction holds.
func setupGate(t *testing.T) (b *testBundle, tx pgx.Tx) {
	t.Helper()

	b = setup(t, servicestest.Postgres(t), `
		CREATE TABLE gate (); CREATE TABLE ships (no numeric PRIMARY KEY, name varchar(10)); CREATE TABLE boats (no numeric PRIMARY KEY, name text);
		CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.name = 'first' THEN LOCK TABLE gate NOWAIT; END IF; RETURN NEW; END $$;
		CREATE TRIGGER pass BEFORE INSERT ON ships FOR EACH ROW EXECUTE FUNCTION pass()`,
		func(cfg *config.PostgresSink) { cfg.OnConflict, cfg.ConflictColumns = "update", []string{"no"} })
	var err error
	tx, err = b.pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // the pool waits for it
	_, err = tx.Exec(t.Context(), "LOCK TABLE gate")
	require.NoError(t, err)
	return b, tx
}

// A row that is tried again is not written over what came after it: that is
// tried again behind it. Rows of other keys do not wait.
func TestDeliver_OrderAfterTransientFailure(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name   string
		batch  []sinks.Payload
		failed []int
		ships  []string // while the lock is held
	}{
		{
			"Statement", []sinks.Payload{
				to("ships", `{"no":1,"name":"first"}`), to("ships", `{"no":1,"name":"second"}`), to("ships", `{"no":1,"name":"third"}`),
				to("boats", `{"no":1,"name":"first"}`), to("boats", `{"no":1,"name":"third"}`),
			},
			[]int{0, 1, 2}, nil,
		},
		{
			// Only the server knows which keys are the same.
			"Halves", []sinks.Payload{
				to("ships", `{"no":3.0,"name":"first"}`), to("ships", `{"no":2.0,"name":"x"}`),
				to("ships", `{"no":2,"name":"third"}`), to("ships", `{"no":3,"name":"third"}`), to("boats", `{"no":1,"name":"third"}`),
			},
			[]int{0, 1, 2, 3}, nil,
		},
		{
			"Permanent", []sinks.Payload{
				to("ships", `{"no":1,"name":"far too long"}`), to("ships", `{"no":1,"name":"third"}`), to("boats", `{"no":1,"name":"third"}`),
			},
			[]int{0}, []string{"third"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			b, tx := setupGate(t)
			var failed []int
			var again []sinks.Payload
			for _, f := range b.deliver(t, tt.batch...) {
				failed = append(failed, f.Index)
				if f.Class == sinks.Transient {
					again = append(again, tt.batch[f.Index])
				}
			}
			require.Equal(t, tt.failed, failed)
			require.Equal(t, tt.ships, b.rows(t, "SELECT name FROM ships"))
			require.Equal(t, []string{"third"}, b.rows(t, "SELECT name FROM boats"))

			require.NoError(t, tx.Rollback(t.Context()))
			require.Empty(t, b.deliver(t, again...))
			require.Equal(t, []string{"third"}, b.rows(t, "SELECT DISTINCT name FROM ships"))
		})
	}
}
