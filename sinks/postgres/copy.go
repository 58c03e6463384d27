package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// copyRows is from how many rows of one table on COPY is faster than INSERT,
// although it has to ask for the types of the columns first.
const copyRows = 100

// copyable reports whether COPY can write a statement's rows: it knows nothing
// of conflicts.
func (s *Sink) copyable(st *statement) bool {
	return s.conflict == conflictError && len(st.rows) >= copyRows
}

// copy writes rows with COPY. Tried is false when that writes them otherwise
// than INSERT would, or not at all; an error of the server means that none is
// written. A column may get another type until COPY has its lock, which changes
// what the text means: behind it, in the same transaction, stands a check that
// fails then.
func (s *Sink) copy(ctx context.Context, st *statement) (tried bool, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return true, err
	}
	defer conn.Release()
	types, err := s.types.of(ctx, conn, st.rows[0].table)
	if err != nil {
		return true, err
	}
	fields := st.rows[0].fields // all rows of a statement have the same
	oids := make([]uint32, len(fields))
	for i, f := range fields {
		if oids[i] = types[f.name]; oids[i] == 0 {
			return false, nil
		}
	}
	text, ok := copyText(st.rows, oids)
	if !ok {
		return false, nil
	}
	_, err = conn.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(text), copySQL(st.rows[0], oids))
	return true, err
}

// copySQL is COPY for rows like r, and a division by zero unless the columns
// have these types. Statements that are sent together are one transaction.
func copySQL(r row, oids []uint32) string {
	columns, same := make([]string, len(oids)), make([]string, len(oids))
	for i, f := range r.fields {
		columns[i] = quote(f.name)
		same[i] = fmt.Sprintf("pg_typeof((NULL::%s).%s)::oid = %d", r.table, columns[i], oids[i])
	}
	return "COPY " + r.table + " (" + strings.Join(columns, ", ") + ") FROM STDIN; SELECT 1 / (" + strings.Join(same, " AND ") + ")::int"
}

// typesFor is how long the types of columns are believed, and what else COPY
// depends on. A rule that a migration adds holds for what comes after it, and
// whoever writes meanwhile may be that much too early anyway.
const typesFor = time.Second

// tableTypes remembers the types of columns. The zero value is ready.
type tableTypes struct {
	mu    sync.Mutex
	known map[string]knownTypes
}

type knownTypes struct {
	asked time.Time
	types map[string]uint32
}

// of asks for the types of a table's columns, unless they are known.
func (t *tableTypes) of(ctx context.Context, conn *pgxpool.Conn, table string) (map[string]uint32, error) {
	t.mu.Lock()
	k := t.known[table]
	t.mu.Unlock()
	if time.Since(k.asked) < typesFor {
		return k.types, nil
	}
	asked := time.Now()
	types, err := columnTypes(ctx, conn, table)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= maxTables {
		t.known = map[string]knownTypes{}
	}
	t.known[table] = knownTypes{asked, types}
	return types, nil
}

// maxTables bounds what is remembered: the payloads choose the tables.
const maxTables = 1000

// columnTypes are the types of a table's columns that COPY fills from the same
// text as INSERT: no arrays and no composites, whose JSON INSERT translates, and
// none that INSERT refuses to fill. Of what is no plain table, or has rules for
// INSERT, there are none.
func columnTypes(ctx context.Context, conn *pgxpool.Conn, table string) (map[string]uint32, error) {
	rows, err := conn.Query(ctx, `SELECT a.attname::text, t.oid FROM pg_attribute a
		JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
		WHERE a.attrelid = to_regclass($1) AND c.relkind IN ('r', 'p') AND NOT c.relhasrules AND a.attnum > 0 AND NOT a.attisdropped
		AND a.attgenerated = '' AND a.attidentity <> 'a' AND t.typtype IN ('b', 'e') AND t.typcategory <> 'A'`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types := map[string]uint32{}
	for rows.Next() {
		var name string
		var oid uint32
		if err := rows.Scan(&name, &oid); err != nil {
			return nil, err
		}
		types[name] = oid
	}
	return types, rows.Err()
}

// copyText is rows in the text format of COPY. The oids are the types of their
// columns.
func copyText(rows []row, oids []uint32) (text []byte, ok bool) {
	size := 0
	for _, r := range rows {
		size += len(r.object) // with the names of the columns, which COPY has no need of
	}
	text = make([]byte, 0, size)
	for _, r := range rows {
		for i, f := range r.fields {
			if i > 0 {
				text = append(text, '\t')
			}
			if text, ok = appendValue(text, f.value, oids[i]); !ok {
				return nil, false
			}
		}
		text = append(text, '\n')
	}
	return text, true
}

// appendValue adds a JSON value as text for its column.
func appendValue(text, value []byte, oid uint32) ([]byte, bool) {
	switch {
	case string(value) == "null":
		return append(text, `\N`...), true
	case value[0] != '"' || oid == pgtype.JSONOID || oid == pgtype.JSONBOID:
		return appendEscaped(text, value), true
	case bytes.IndexByte(value, '\\') < 0: // nor is there any other of COPY's signs in a string of JSON
		return append(text, value[1:len(value)-1]...), utf8.Valid(value)
	case !readsAlike(value):
		return nil, false
	}
	var plain string
	if err := json.Unmarshal(value, &plain); err != nil {
		return nil, false
	}
	return appendEscaped(text, []byte(plain)), true
}

// readsAlike reports whether the standard library reads a string as the server
// does, which mends nothing: neither half a surrogate nor a NUL.
func readsAlike(value []byte) bool {
	lower := bytes.ToLower(value)
	return utf8.Valid(value) && !bytes.Contains(lower, []byte(`\ud`)) && !bytes.Contains(lower, []byte(`\u0000`))
}

// appendEscaped adds what COPY would take for its own signs with a backslash.
func appendEscaped(text, value []byte) []byte {
	if !bytes.ContainsAny(value, "\\\n\r\t") {
		return append(text, value...)
	}
	for _, b := range value {
		switch b {
		case '\\':
			text = append(text, '\\', '\\')
		case '\n':
			text = append(text, '\\', 'n')
		case '\r':
			text = append(text, '\\', 'r')
		case '\t':
			text = append(text, '\\', 't')
		default:
			text = append(text, b)
		}
	}
	return text
}
