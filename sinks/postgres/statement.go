package postgres

import (
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// maxStatement is how many bytes of rows one statement carries, unless a single
// row has more.
const maxStatement = 8 << 20

// statement are rows of one table with the same columns.
type statement struct {
	sql  string
	rows []row
	// turn is at least how often the keys of its rows came before, in the same
	// batch.
	turn  int
	bytes int
}

// statements puts rows into as few statements as possible, in the order in
// which they have to run. Rows with the same key stand in different ones, in
// their order: one statement cannot write a key twice. What comes behind them
// stands behind them too, since only the server knows all spellings of a key.
//
// Inside a statement rows are ordered by key, so that two statements which
// write the same rows wait for each other instead of locking each other out.
func (s *Sink) statements(rows []row) []*statement {
	var all []*statement
	open := map[string]*statement{} // by turn and shape
	turns := map[string]int{}       // the next one, by place
	latest := map[string]int{}      // turn, by table
	var at *statement               // of the row before: most rows are like it
	for _, r := range rows {
		turn := 0
		if r.key != "" {
			turn = max(turns[r.place()], latest[r.table])
			turns[r.place()], latest[r.table] = turn+1, turn
		}
		if at == nil || !at.takes(r, turn) {
			place := strconv.Itoa(turn) + r.shape()
			if at = open[place]; at == nil || !at.takes(r, turn) {
				at = &statement{sql: s.sql(r), turn: turn}
				if len(all) == 0 { // which most often takes them all
					at.rows = make([]row, 0, len(rows))
				}
				open[place] = at
				all = append(all, at)
			}
		}
		at.rows = append(at.rows, r)
		at.bytes += len(r.object)
	}
	slices.SortStableFunc(all, func(a, b *statement) int { return a.turn - b.turn })
	for _, at := range all {
		slices.SortStableFunc(at.rows, func(a, b row) int { return strings.Compare(a.key, b.key) })
	}
	return all
}

// takes reports whether the statement has room for a row, which is like its own.
func (st *statement) takes(r row, turn int) bool {
	first := st.rows[0]
	return st.turn == turn && first.table == r.table && st.bytes+len(r.object) <= maxStatement &&
		slices.EqualFunc(first.fields, r.fields, func(a, b field) bool { return a.name == b.name })
}

// sql is the statement that inserts rows like r. They are its one parameter, a
// JSON array. The server reads each value as the type of its column, so numbers
// keep all their digits.
func (s *Sink) sql(r row) string {
	columns := make([]string, len(r.fields))
	for i, f := range r.fields {
		columns[i] = quote(f.name)
	}
	list := strings.Join(columns, ", ")
	return "INSERT INTO " + r.table + " (" + list + ") SELECT " + list +
		" FROM json_populate_recordset(NULL::" + r.table + ", $1::json)" + s.onConflict(r)
}

func (s *Sink) onConflict(r row) string {
	if s.conflict == conflictError {
		return ""
	}
	keys := make([]string, len(s.keyColumns))
	for i, column := range s.keyColumns {
		keys[i] = quote(column)
	}
	clause := " ON CONFLICT"
	if len(keys) > 0 {
		clause += " (" + strings.Join(keys, ", ") + ")"
	}
	var sets []string
	for _, f := range r.fields {
		if !slices.Contains(s.keyColumns, f.name) {
			sets = append(sets, quote(f.name)+" = EXCLUDED."+quote(f.name))
		}
	}
	if s.conflict == conflictNothing || len(sets) == 0 {
		return clause + " DO NOTHING"
	}
	return clause + " DO UPDATE SET " + strings.Join(sets, ", ")
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
