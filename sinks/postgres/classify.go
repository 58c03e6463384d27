package postgres

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/drakkar-go/drakkar/sinks"
)

// verdict is what an error of the server says about the rows of a statement.
type verdict uint8

const (
	// later: none of them is at fault, all may be tried again.
	later verdict = iota
	// maybeRow: one of them may be at fault. The others are written without it;
	// it may be tried again.
	maybeRow
	// someRow: at least one of them is refused, the others are not.
	someRow
	// everyRow: all of them are refused, they have the wrong table or columns.
	everyRow
)

// verdicts are those by SQLSTATE, and by its class, the first two characters,
// for those that are not here as a whole. What is none of the server's classes
// a function of the database has made up to refuse a row.
//
// A missing grant is no reason to refuse rows: the operator mends it, and the
// payloads wait. Nor is a missing index for on_conflict.
var verdicts = map[string]verdict{
	"00": maybeRow,
	"01": maybeRow,
	"02": maybeRow,
	"03": maybeRow,
	"08": later,    // the connection
	"09": someRow,  // what a trigger did
	"0A": later,    // not supported
	"0B": maybeRow, // transactions, in a function
	"0F": maybeRow,
	"0L": maybeRow,
	"0P": maybeRow, // a role
	"0Z": maybeRow,
	"20": someRow,  // a function has no case for it
	"21": someRow,  // two rows with one key
	"22": someRow,  // the value does not fit its column
	"23": someRow,  // a constraint
	"24": maybeRow, // a cursor
	"25": later,    // read only
	"26": later,    // a prepared statement is gone
	"27": someRow,  // a trigger changed it
	"28": later,    // the login
	"2B": maybeRow,
	"2D": maybeRow, // transactions, in a function
	"2F": someRow,  // a function
	"34": maybeRow, // a cursor
	"38": someRow,  // a function in another language
	"39": someRow,
	"3B": maybeRow, // a savepoint
	"3D": later,    // no such database
	"3F": everyRow, // no such schema
	"40": later,    // a deadlock, a conflict with another transaction
	"42": later,    // grants, names
	"44": someRow,  // the condition of a view
	"53": later,    // memory, disk, connections
	"54": someRow,  // too large for a row, a field or an index, too deeply nested
	"55": later,    // a lock, a state that something is not in
	"57": later,    // called off, shutting down
	"58": later,    // the disk
	"72": later,    // a snapshot that is too old
	"F0": later,    // the server's settings
	"HV": maybeRow, // the server of a foreign table
	"P0": someRow,  // a trigger refused it
	"XX": later,    // data that is damaged

	"428C9": someRow,  // a generated column
	"42P01": everyRow, // no such table
	"42703": everyRow, // no such column
	"42804": everyRow, // a type that does not fit
	"42809": everyRow, // not a table
	"42846": everyRow, // a type that cannot be converted
	"XX000": maybeRow, // what extensions say about a value
}

// The functions of the server that report an error tell apart what one SQLSTATE
// means.
const (
	// routinePolicy checks rows against the policies of their table. A missing
	// grant has the same SQLSTATE.
	routinePolicy = "ExecWithCheckOptions"
	// routineRaise is RAISE in a function, which may use any SQLSTATE.
	routineRaise = "exec_stmt_raise"
)

// ofStatement reports whether a SQLSTATE tells what is wrong with a statement as
// a whole. When the server says where it was (Where), that is one which a
// function runs: a trigger that one of the rows has led there.
func ofStatement(code string) bool {
	return slices.Contains([]string{"0A", "3F", "42"}, code[:2]) || code == "55000"
}

func judge(err error) verdict {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC" || len(pg.Code) != 5 {
		return later // it is about the connection
	}
	v, listed := verdicts[pg.Code]
	if !listed {
		v, listed = verdicts[pg.Code[:2]]
	}
	switch {
	case !listed, pg.Code == "42501" && pg.Routine == routinePolicy:
		return someRow
	case v != someRow && (pg.Routine == routineRaise || pg.Where != "" && ofStatement(pg.Code)):
		return maybeRow
	}
	return v
}

// byHalves reports whether rows are to be told apart from those at fault.
func (v verdict) byHalves() bool { return v == maybeRow || v == someRow }

func (v verdict) class() sinks.Class {
	if v == later || v == maybeRow {
		return sinks.Transient
	}
	return sinks.Permanent
}
