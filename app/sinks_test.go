package app

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks/postgres"
)

// Databases that are away keep no process from starting; /readyz says so. The
// pool of a PostgreSQL sink is there in OnReady.
func TestStart_Databases(t *testing.T) {
	t.Parallel()

	b := setup(t)
	pg := config.DefaultOf[config.PostgresSink]()
	pg.DSN = "postgres://drakkar:s3cret@127.0.0.1:1/d?sslmode=disable"
	b.cfg.Sinks.Postgres = map[string]config.PostgresSink{"rows": pg}
	mg := config.DefaultOf[config.MongoSink]()
	mg.URI, mg.Database = "mongodb://drakkar:s3cret@127.0.0.1:1/?serverSelectionTimeoutMS=100", "d"
	b.cfg.Sinks.Mongo = map[string]config.MongoSink{"docs": mg}
	var host string
	a := b.app(t, Executor, &hooks{ready: func(ctx context.Context, _ *config.Config) error {
		pool, err := postgres.Pool(ctx, "rows")
		require.NoError(t, err)
		host = pool.Config().ConnConfig.Host
		_, err = postgres.Pool(ctx, "docs")
		require.Error(t, err)
		return nil
	}})
	require.NoError(t, a.Start(t.Context()))
	require.Equal(t, "127.0.0.1", host)
	require.Eventually(t, func() bool {
		reasons := strings.Join(a.Ready(t.Context()), "\n")
		require.NotContains(t, reasons, "s3cret")
		return strings.Contains(reasons, "postgres:rows") && strings.Contains(reasons, "mongo:docs")
	}, eventually, soon)
}
