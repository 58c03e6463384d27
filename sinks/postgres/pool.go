package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/drakkar-go/drakkar/config"
)

// connectTimeout bounds connecting where the connection string does not.
const connectTimeout = 10 * time.Second

// poolConfig reads the connection string. Errors do not show it: where it is
// wrong, a password may be anywhere in it.
func poolConfig(cfg config.PostgresSink) (*pgxpool.Config, error) {
	if err := checkDSN(cfg.DSN); err != nil {
		return nil, err
	}
	pool, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, errors.New("it is not a connection string of PostgreSQL: use " +
			"postgres://user:password@host:5432/database?sslmode=require or host=... user=... pairs, and check its options")
	}
	pool.MinConns, pool.MaxConns = int32(cfg.PoolMin), int32(cfg.PoolMax)
	pool.ConnConfig.ConnectTimeout = cmp.Or(pool.ConnConfig.ConnectTimeout, connectTimeout)
	if _, set := pool.ConnConfig.RuntimeParams["application_name"]; !set {
		pool.ConnConfig.RuntimeParams["application_name"] = "drakkar"
	}
	return pool, nil
}

// checkDSN refuses URLs in which a part of the password would be taken for
// something else, and later be shown as such.
func checkDSN(dsn string) error {
	_, rest, isURL := strings.Cut(dsn, "://")
	if !isURL {
		return nil
	}
	if _, err := url.Parse(dsn); err != nil || strings.Count(rest, "@") > 1 {
		return errors.New("it is not a URL: the characters : / ? # [ ] @ % of user and password must be percent-encoded")
	}
	return nil
}

type poolsKey struct{}

// WithPools puts the pools of sinks into ctx, for [Pool].
func WithPools(ctx context.Context, pools map[string]*pgxpool.Pool) context.Context {
	return context.WithValue(ctx, poolsKey{}, pools)
}

// Pool returns the pool of connections of the sink sinks.postgres.<name>, for
// OnReady: to prepare tables, or to keep it for queries of the handler's own.
// An empty name means the only one. The pool belongs to the sink, which closes
// it when the process stops.
func Pool(ctx context.Context, name string) (*pgxpool.Pool, error) {
	pools, _ := ctx.Value(poolsKey{}).(map[string]*pgxpool.Pool)
	if name == "" && len(pools) == 1 {
		for _, pool := range pools {
			return pool, nil
		}
	}
	if pool, ok := pools[name]; ok {
		return pool, nil
	}
	return nil, fmt.Errorf("sinks.postgres has no %q here: name a configured sink, in OnReady", name)
}
