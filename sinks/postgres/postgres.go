// Package postgres is the sink that writes rows to PostgreSQL.
//
// A payload is a JSON object whose fields are the columns of a row. Rows of one
// table with the same columns go in one statement, as JSON, and the server
// reads each value as the type of its column: numbers keep all their digits,
// strings become timestamps or enums, arrays become arrays, and nested values
// suit columns of type json and jsonb. Columns that the payload lacks get their
// defaults. Many rows at once go by COPY where on_conflict is error, and where
// that comes to the same.
//
// A statement is a transaction of its own. Rows that the server refuses do not
// take the others along.
//
// A payload that is delivered again, after a crash for instance, is a second
// row, unless id_column and on_conflict say otherwise.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
)

// What on_conflict may be.
const (
	conflictError   = "error"
	conflictNothing = "nothing"
)

var (
	_ sinks.Sink      = (*Sink)(nil)
	_ sinks.Checker   = (*Sink)(nil)
	_ sinks.Validator = (*Sink)(nil)
)

// Sink writes to the tables of one database.
type Sink struct {
	pool       *pgxpool.Pool
	conflict   string
	keyColumns []string
	idColumn   string
	idName     string // idColumn as JSON
	close      func() <-chan struct{}

	types tableTypes // of the tables that COPY fills
}

// New makes the sink that is configured as sinks.postgres.<name>. It does not
// wait for the server.
func New(name string, cfg config.PostgresSink) (*Sink, error) {
	pc, err := poolConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("sinks.postgres.%s.dsn: %w", name, err)
	}
	s := &Sink{conflict: cfg.OnConflict, idColumn: cfg.IDColumn}
	switch {
	case s.conflict == conflictError: // then no row looks for another
	case len(cfg.ConflictColumns) > 0:
		s.keyColumns = slices.Clone(cfg.ConflictColumns)
	case s.idColumn != "":
		s.keyColumns = []string{s.idColumn}
	}
	if s.idColumn != "" {
		if err := checkColumn(s.idColumn); err != nil {
			return nil, fmt.Errorf("sinks.postgres.%s.id_column: %w", name, err)
		}
		s.idName = quoteJSON(s.idColumn)
	}
	// Nothing is connected with this context.
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), pc); err != nil {
		return nil, fmt.Errorf("sinks.postgres.%s: making the pool: %w", name, err)
	}
	s.close = sync.OnceValue(s.closePool)
	return s, nil
}

// Pool is the pool of connections, which the sink closes.
func (s *Sink) Pool() *pgxpool.Pool { return s.pool }

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, batch []sinks.Payload) error {
	d := &delivery{sink: s, waiting: map[string]bool{}}
	rows, reader := make([]row, 0, len(batch)), s.reader()
	for i, p := range batch {
		r, err := reader.row(i, p)
		if err != nil {
			d.fail(sinks.Failure{Index: i, Class: sinks.Permanent, Err: err})
			continue
		}
		rows = append(rows, r)
	}
	for _, st := range s.statements(rows) {
		if s.copyable(st) && d.copied(ctx, st) {
			continue
		}
		if ready := d.ready(st.rows); len(ready) > 0 {
			d.write(ctx, st.sql, ready)
		}
	}
	return d.err()
}

// Check implements sinks.Checker: it asks the server for nothing.
func (s *Sink) Check(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("asking PostgreSQL: %w", explain(ctx, err))
	}
	return nil
}

// Validate implements sinks.Validator: it looks at the names of table and
// columns. Whether there are such is for the server to say.
func (s *Sink) Validate(p sinks.Payload) error {
	_, err := s.reader().row(0, p)
	return err
}

// Close implements sinks.Sink.
func (s *Sink) Close(ctx context.Context) error {
	select {
	case <-s.close():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing the connections to PostgreSQL: %w", context.Cause(ctx))
	}
}

// closePool closes the pool, which waits for connections that are in use.
func (s *Sink) closePool() <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.pool.Close()
	}()
	return closed
}

// explain adds why ctx ended to an error that came of it.
func explain(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}
