package postgres

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/drakkar-go/drakkar/sinks"
)

// maxName is how long a name may be, in bytes. PostgreSQL cuts longer ones off.
const maxName = 63

// row is a payload on its way into its table.
type row struct {
	index  int // of the payload in its batch
	table  string
	fields []field
	// object is the row as JSON, with the delivery id in its column.
	object []byte
	// key are the values of the columns that on_conflict looks at; empty when
	// there are none, or not all of them are in the payload.
	key string
}

// rowReader makes rows of payloads. What most of a batch have in common it makes
// once. The zero value is not ready.
type rowReader struct {
	sink  *Sink
	names names
	// room is where the fields of the next rows go.
	room []field
	// target is that of the payload before, table its name in SQL.
	target, table string
}

const (
	// usualFields is how many fields a row has, or less.
	usualFields = 16

	// roomFields is how many there is room for at a time.
	roomFields = 1024
)

func (s *Sink) reader() *rowReader { return &rowReader{sink: s, names: names{}} }

// row reads a payload. An error means that no table takes it.
func (r *rowReader) row(index int, p sinks.Payload) (row, error) {
	if p.Target != r.target || r.target == "" {
		table, err := tableName(p.Target)
		if err != nil {
			return row{}, err
		}
		r.target, r.table = p.Target, table
	}
	if cap(r.room) < usualFields {
		r.room = make([]field, 0, roomFields)
	}
	fs, err := fields(r.room, p.Value, r.names)
	if err != nil {
		return row{}, err
	}
	s, object := r.sink, p.Value
	if s.idColumn != "" {
		id := []byte(quoteJSON(p.ID))
		object = withField(object, s.idName, id, len(fs) == 0)
		fs = put(fs, field{s.idColumn, id})
	}
	if len(fs) == 0 {
		return row{}, errors.New("the value is a JSON object without fields: a row needs a column")
	}
	for _, f := range fs {
		if err := checkColumn(f.name); err != nil {
			return row{}, err
		}
	}
	slices.SortFunc(fs, func(a, b field) int { return strings.Compare(a.name, b.name) })
	r.room = fs[len(fs):]
	return row{index: index, table: r.table, fields: fs, object: object, key: s.key(fs)}, nil
}

// withField adds a field behind all others: of those with one name the last one
// counts. The name is JSON.
func withField(object []byte, name string, value []byte, empty bool) []byte {
	comma := ","
	if empty {
		comma = ""
	}
	end := bytes.LastIndexByte(object, '}')
	return slices.Concat(object[:end], []byte(comma+name+":"), value, object[end:])
}

// key joins the values of the columns that make the key. Equal keys are the same
// row; others may be, as 1 and 1.0 are: then the server says so.
func (s *Sink) key(fs []field) string {
	if len(s.keyColumns) == 0 {
		return ""
	}
	var key strings.Builder
	for _, column := range s.keyColumns {
		at, found := slices.BinarySearchFunc(fs, column, func(f field, name string) int {
			return strings.Compare(f.name, name)
		})
		if !found {
			return ""
		}
		key.WriteString(plain(fs[at].value))
		key.WriteByte(0)
	}
	return key.String()
}

// plain is a value without the ways in which JSON can write a string.
func plain(value []byte) string {
	if value[0] != '"' {
		return string(value)
	}
	text, err := names(nil).unquote(value)
	if err != nil {
		return string(value)
	}
	return text
}

// place tells rows with one key from others.
func (r row) place() string { return r.table + "\x00" + r.key }

// shape tells rows that fit into one statement from others.
func (r row) shape() string {
	var shape strings.Builder
	shape.WriteString(r.table)
	for _, f := range r.fields {
		shape.WriteByte(0)
		shape.WriteString(f.name)
	}
	return shape.String()
}

// tableName quotes the name of a table, which may be qualified by a schema.
func tableName(name string) (string, error) {
	parts := strings.Split(name, ".")
	if name == "" {
		return "", errors.New("the payload names no table")
	}
	if len(parts) > 2 {
		return "", fmt.Errorf("%q is not the name of a table: use table or schema.table", name)
	}
	for _, part := range parts {
		if !isIdentifier(part) || len(part) > maxName {
			return "", fmt.Errorf("%q is not the name of a table: use table or schema.table, "+
				"of letters, digits, underscores and dollar signs, each at most %d bytes", name, maxName)
		}
	}
	return pgx.Identifier(parts).Sanitize(), nil
}

// isIdentifier reports whether SQL takes the name without quotes, but for its
// case: a letter or underscore, and further ones, digits and dollar signs.
func isIdentifier(name string) bool {
	for i, c := range name {
		first := unicode.IsLetter(c) || c == '_'
		if !first && (i == 0 || !unicode.IsNumber(c) && c != '$') {
			return false
		}
	}
	return name != ""
}

// checkColumn refuses what cannot be the name of a column.
func checkColumn(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return fmt.Errorf("the field %q cannot be a column: use 1 to %d bytes of text", name, maxName)
	}
	return nil
}

// quoteJSON is a name as a JSON string.
func quoteJSON(name string) string {
	quoted, _ := json.Marshal(name) //nolint:errchkjson // text always has a JSON
	return string(quoted)
}
