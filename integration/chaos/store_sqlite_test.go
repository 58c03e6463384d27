package chaos

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table has a row for a delivery id, whatever the file holds.
func TestSQLiteStore(t *testing.T) {
	t.Parallel()

	s, err := newSQLiteStore(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	lines := `{"n":1,"id":"in/0/1"}
{"n":2,"id":"in/0/2"}
{"n":2,"i
{"n":1,"id":"in/0/1"}
{"n":2,"id":"in/1/7"}
{"other":true}
`
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, storeFile), []byte(lines), 0o600))
	for range 2 { // reading twice changes nothing
		rows := tally{}
		require.NoError(t, s.rows(t.Context(), func(n int) { rows[n]++ }))
		require.Equal(t, tally{1: 1, 2: 2}, rows)
		require.Equal(t, 1, rows.doubles())
	}
}

// A pipeline that delivered nothing has lost everything; the store says so.
func TestSQLiteStore_Empty(t *testing.T) {
	t.Parallel()

	s, err := newSQLiteStore(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	require.NoError(t, s.rows(t.Context(), func(int) { require.Fail(t, "a row from nowhere") }))
}
