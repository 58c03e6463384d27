package postgres

import (
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/drakkar-go/drakkar/sinks"
)

// verdict is what an error of the server says about the rows of a statement.
type verdict uint8

const (
	// later: none of them is at fault, all may be tried again.
	later verdict = iota
	// someRow: at least one of them is refused, the others are not.
	someRow
	// everyRow: all of them are refused, they have the wrong table or columns.
	everyRow
)

// rowClasses are the first two characters of SQLSTATEs about a row, some of
// them whole.
var rowClasses = []string{
	"21",    // two rows with one key
	"22",    // the value does not fit its column
	"23",    // a constraint
	"44",    // the condition of a view
	"54",    // too large for a row, a field or an index, too deeply nested
	"P0001", // a trigger refused it
	"428C9", // a generated column
}

// shapeClasses are those about the table and the columns, which the payload
// chose. A missing grant is not among them: the operator mends it, and the
// payloads wait. Nor is a missing index for on_conflict.
var shapeClasses = []string{
	"3F000", // no such schema
	"42P01", // no such table
	"42703", // no such column
	"42804", // a type that does not fit
	"42809", // not a table
	"42846", // a type that cannot be converted
}

func judge(err error) verdict {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return later
	}
	about := func(classes []string) bool {
		return slices.ContainsFunc(classes, func(class string) bool { return strings.HasPrefix(pg.Code, class) })
	}
	switch {
	case about(rowClasses):
		return someRow
	case about(shapeClasses):
		return everyRow
	}
	return later
}

func (v verdict) class() sinks.Class {
	if v == later {
		return sinks.Transient
	}
	return sinks.Permanent
}
