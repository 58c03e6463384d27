package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/drakkar-go/drakkar/sinks"
)

// delivery is one batch on its way.
type delivery struct {
	sink     *Sink
	failures []sinks.Failure
	// waiting are the places of rows that failed and may be tried again.
	waiting map[string]bool
}

var errEarlier = errors.New("not tried: an earlier row has to be written first")

// ready returns the rows that no earlier row of the same key stands in the way
// of. The others are to be tried after that one, which would replace them.
func (d *delivery) ready(rows []row) []row {
	var ready []row
	for _, r := range rows {
		if d.waiting[r.place()] {
			d.failRows(sinks.Transient, errEarlier, r)
			continue
		}
		ready = append(ready, r)
	}
	return ready
}

// write inserts rows with one statement. When the server refuses a row, it
// tries the halves, until each refused row stands alone. It reports whether the
// server takes more of these rows now.
func (d *delivery) write(ctx context.Context, sql string, rows []row) bool {
	err := d.sink.insert(ctx, sql, rows)
	if err == nil {
		return true
	}
	v := judge(err)
	if v.byHalves() && len(rows) > 1 {
		// Rows with one key that is written in two ways keep their order.
		slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.index, b.index) })
		half := len(rows) / 2
		if !d.write(ctx, sql, rows[:half]) {
			d.failRows(sinks.Transient, errEarlier, rows[half:]...)
			return false
		}
		return d.write(ctx, sql, rows[half:])
	}
	if v.byHalves() {
		err = d.sink.blame(ctx, rows[0], err)
	}
	d.failRows(v.class(), explain(ctx, err), rows...)
	return v != later
}

// copied tries COPY, and reports whether that settled the rows. What the server
// refuses INSERT writes again, row by row if need be; when nobody knows what
// became of the rows, they are not written a second time here.
func (d *delivery) copied(ctx context.Context, st *statement) bool {
	tried, err := d.sink.copy(ctx, st)
	if _, refused := errors.AsType[*pgconn.PgError](err); !tried || refused {
		return false
	}
	if err != nil {
		d.failRows(sinks.Transient, explain(ctx, err), st.rows...)
	}
	return true
}

// failRows fails rows of one table for one reason.
func (d *delivery) failRows(class sinks.Class, err error, rows ...row) {
	for _, r := range rows {
		d.fail(sinks.Failure{Index: r.index, Class: class, Err: fmt.Errorf("writing to %s: %w", r.table, err)})
		if class == sinks.Transient && r.key != "" {
			d.waiting[r.place()] = true
		}
	}
}

func (d *delivery) fail(f sinks.Failure) { d.failures = append(d.failures, f) }

func (d *delivery) err() error {
	if len(d.failures) == 0 {
		return nil
	}
	slices.SortFunc(d.failures, func(a, b sinks.Failure) int { return cmp.Compare(a.Index, b.Index) })
	return &sinks.DeliverError{Failures: d.failures}
}

func (s *Sink) insert(ctx context.Context, sql string, rows []row) error {
	var objects strings.Builder
	for i, r := range rows {
		objects.WriteByte("[,"[min(i, 1)])
		objects.Write(r.object)
	}
	objects.WriteByte(']')
	_, err := s.pool.Exec(ctx, sql, objects.String())
	return err
}

// blame names the column of a row that the server refused. It asks for each
// value alone, which writes nothing: the first one with the same complaint is
// at fault.
func (s *Sink) blame(ctx context.Context, r row, err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	if refused.ColumnName != "" {
		return fmt.Errorf("column %q: %w", refused.ColumnName, err)
	}
	if !strings.HasPrefix(refused.Code, "22") {
		return err
	}
	values := &pgx.Batch{}
	for _, f := range r.fields {
		values.Queue("SELECT 1 FROM json_populate_record(NULL::"+r.table+", $1::json)",
			string(withField([]byte("{}"), quoteJSON(f.name), f.value, true)))
	}
	results := s.pool.SendBatch(ctx, values)
	defer func() { _ = results.Close() }() // an error of it is that of a probe
	for _, f := range r.fields {
		_, probe := results.Exec()
		if same, ok := errors.AsType[*pgconn.PgError](probe); ok && same.Message == refused.Message {
			return fmt.Errorf("column %q: %w", f.name, err)
		} else if probe != nil {
			break
		}
	}
	return err
}
