package chaos

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// postgresStore is a table in PostgreSQL whose key is the delivery id.
type postgresStore struct {
	url, table string
}

// newPostgresStore makes the table.
func newPostgresStore(ctx context.Context, url, group string) (*postgresStore, error) {
	s := &postgresStore{url: url, table: tableOf(group)}
	return s, s.do(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "CREATE TABLE "+s.quoted()+" ("+storeField+" text PRIMARY KEY, n integer NOT NULL)")
		return err
	})
}

func (s *postgresStore) name() string { return "postgres" }

func (s *postgresStore) sink() section {
	return section{"postgres": section{"store": section{"dsn": s.url, "id_column": storeField, "on_conflict": "update"}}}
}

// rows implements store.
func (s *postgresStore) rows(ctx context.Context, each func(n int)) error {
	return s.do(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "SELECT n FROM "+s.quoted())
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[int])
		for _, n := range all {
			each(n)
		}
		return err
	})
}

// do lends out a connection of its own: the server may have been killed since
// the last.
func (s *postgresStore) do(ctx context.Context, what func(*pgx.Conn) error) (err error) {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return what(conn)
}

func (s *postgresStore) quoted() string { return pgx.Identifier{s.table}.Sanitize() }

func (s *postgresStore) close() error { return nil }
