package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestJudge(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		code, routine, severity, where string
		want                           verdict
	}{
		{code: "", want: later},
		{code: "08006", want: later},
		{code: "20000", want: someRow},
		{code: "22003", want: someRow},
		{code: "22023", severity: "FATAL", want: later},
		{code: "25006", want: later},
		{code: "38001", want: someRow},
		{code: "3F000", want: everyRow},
		{code: "40P01", want: later},
		{code: "42501", routine: "aclcheck_error", want: later},
		{code: "42501", routine: routinePolicy, want: someRow},
		{code: "42501", routine: routinePolicy, where: "PL/pgSQL function", want: someRow},
		{code: "42501", routine: routineRaise, want: maybeRow},
		{code: "428C9", want: someRow},
		{code: "428C9", where: "PL/pgSQL function", want: someRow},
		{code: "42P01", want: everyRow},
		{code: "42P01", routine: routineRaise, want: maybeRow},
		{code: "42P01", where: "PL/pgSQL function", want: maybeRow},
		{code: "42P10", want: later},
		{code: "55000", want: later},
		{code: "55000", where: "PL/pgSQL function", want: maybeRow},
		{code: "55P03", want: later},
		{code: "55P03", where: "PL/pgSQL function", want: later},
		{code: "57P01", severity: "FATAL", want: later},
		{code: "HV000", want: maybeRow},
		{code: "MY001", want: someRow},
		{code: "MY001", severity: "PANIC", want: later},
		{code: "P0001", routine: routineRaise, want: someRow},
		{code: "P0004", want: someRow},
		{code: "XX000", want: maybeRow},
		{code: "XX001", want: later},
	} {
		err := fmt.Errorf("writing: %w", &pgconn.PgError{
			Code: tt.code, Routine: tt.routine, SeverityUnlocalized: tt.severity, Where: tt.where,
		})
		require.Equal(t, tt.want, judge(err), "%+v", tt)
	}
	require.Equal(t, later, judge(errors.New("broken pipe")))
}
