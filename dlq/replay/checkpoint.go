package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/drakkar-go/drakkar/dlq"
)

// checkpointVersion is of the file's format.
const checkpointVersion = 1

// subject is what a checkpoint is of: another queue, selection or target has
// another one.
type subject struct {
	Queue     string        `json:"queue"`
	Target    string        `json:"target"`
	Selection dlq.Selection `json:"selection"`
}

// key names the subject's files.
func (s subject) key() (string, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encoding the selection: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6]), nil
}

// checkpoint is how far a replay came.
type checkpoint struct {
	V int `json:"v"`
	subject

	Started time.Time `json:"started"`
	Updated time.Time `json:"updated"`
	// Finished is set when the end of the queue was reached.
	Finished bool `json:"finished"`

	// Next are the offsets that each log goes on at: what is before them is
	// settled.
	Next map[string]int64 `json:"next"`
	// Ahead are those behind them that are settled too.
	Ahead []dlq.Position `json:"ahead,omitempty"`

	// Failed are those that the target refused for good: what has the same id
	// behind them is no double of theirs.
	Failed []dlq.Position `json:"failed,omitempty"`

	// Counts are those since the queue was last read to its end.
	Counts Counts `json:"counts"`
}

// state are the files of a replay.
type state struct {
	dir  string
	path string // of the checkpoint
	lock *os.File
}

// errRunning says that another process is at it.
var errRunning = errors.New("another replay of the same dead letters to the same target is running")

// openState makes the directory and keeps other replays of the same subject
// out, until it is closed or the process ends.
func openState(dir string, s subject) (*state, error) {
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the directory of checkpoints: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "replay-"+key+".lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the replay: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errRunning
	}
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	return &state{dir: dir, path: filepath.Join(dir, "replay-"+key+".json"), lock: lock}, nil
}

// close lets others in. The lock is given back by name: a program that is being
// started may hold the file for another moment.
func (s *state) close() {
	_ = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN)
	_ = s.lock.Close()
}

func newCheckpoint(s subject) checkpoint {
	return checkpoint{V: checkpointVersion, subject: s, Started: time.Now().UTC(), Next: map[string]int64{}}
}

// loadCheckpoint reads the subject's checkpoint, without locking anything; a new
// one when there is none.
func loadCheckpoint(dir string, s subject) (checkpoint, error) {
	fresh := newCheckpoint(s)
	key, err := s.key()
	if err != nil {
		return fresh, err
	}
	path := filepath.Join(dir, "replay-"+key+".json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return fresh, fmt.Errorf("reading the checkpoint: %w", err)
	}
	var c checkpoint
	if err := json.Unmarshal(data, &c); err != nil {
		return fresh, fmt.Errorf("reading the checkpoint %s: %w", path, err)
	}
	if c.V != checkpointVersion {
		return fresh, fmt.Errorf("reading the checkpoint %s: its version is %d and this program reads version %d", path, c.V, checkpointVersion)
	}
	if c.Next == nil {
		c.Next = map[string]int64{}
	}
	return c, nil
}

// save puts the checkpoint in place of the one before, at once and durably.
func (s *state) save(c checkpoint) error {
	c.Updated = time.Now().UTC()
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the checkpoint: %w", err)
	}
	if err := replaceFile(s.path, append(data, '\n')); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	return nil
}

func replaceFile(path string, data []byte) error {
	next := path + ".next"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
