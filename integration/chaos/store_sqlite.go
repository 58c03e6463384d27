package chaos

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver of the table
)

const (
	storeFile  = "receipts.jsonl"
	storeField = "id"
)

// sqliteStore is a table in SQLite whose key is the delivery id. The product
// has no sink for SQLite: its filesystem sink writes lines with the delivery id,
// and they are taken into the table when it is read. A line whose id is there
// already changes nothing, as an upsert would.
type sqliteStore struct {
	dir string // of the filesystem sink
	db  *sql.DB
}

func newSQLiteStore(dir string) (*sqliteStore, error) {
	lines := filepath.Join(dir, "lines")
	if err := os.MkdirAll(lines, 0o755); err != nil {
		return nil, fmt.Errorf("making the store's directory: %w", err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "store.db"))
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return &sqliteStore{dir: lines, db: db}, nil
}

func (s *sqliteStore) name() string { return "sqlite" }

func (s *sqliteStore) sink() section {
	return section{"filesystem": section{"store": section{"base_path": s.dir, "id_field": storeField}}}
}

func (s *sqliteStore) close() error { return s.db.Close() }

// rows implements store.
func (s *sqliteStore) rows(ctx context.Context, each func(n int)) error {
	if err := s.take(ctx); err != nil {
		return fmt.Errorf("taking lines into the store: %w", err)
	}
	rows, err := s.db.QueryContext(ctx, `SELECT n FROM receipts`)
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return fmt.Errorf("reading the store: %w", err)
		}
		each(n)
	}
	return rows.Err()
}

// take fills the table from the lines there are.
func (s *sqliteStore) take(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS receipts (id TEXT PRIMARY KEY, n INTEGER NOT NULL)`); err != nil {
		return err
	}
	err = s.lines(func(id string, n int) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO receipts (id, n) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET n = excluded.n`, id, n)
		return err
	})
	if err != nil {
		return err
	}
	return tx.Commit()
}

// lines calls each for every whole line. A line that was cut off belongs to a
// delivery that was not acknowledged: it came again.
func (s *sqliteStore) lines(each func(id string, n int) error) error {
	f, err := os.Open(filepath.Join(s.dir, storeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was delivered
	}
	if err != nil {
		return err
	}
	defer f.Close()
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		var line struct {
			ID string `json:"id"`
			N  *int   `json:"n"`
		}
		if json.Unmarshal(scanner.Bytes(), &line) != nil || line.ID == "" || line.N == nil {
			continue
		}
		if err := each(line.ID, *line.N); err != nil {
			return err
		}
	}
	return scanner.Err()
}
