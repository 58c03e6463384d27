package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/drakkar-go/drakkar/sinks"
)

var (
	_ sinks.Sink      = (*spool)(nil)
	_ sinks.Checker   = (*spool)(nil)
	_ sinks.Validator = (*spool)(nil)
)

// spool is a sink that makes one file of each payload, in the directory that
// the payload's target names below its own. The file's name is made of the
// delivery id, so a payload that is delivered again replaces itself.
type spool struct{ dir string }

func newSpool(dir string) (*spool, error) {
	s := &spool{dir}
	if dir == "" {
		return nil, errors.New("options.dir is missing")
	}
	return s, s.Check(context.Background())
}

var targetName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Validate implements sinks.Validator: such a payload does not get any further
// than the hook that returned it.
func (s *spool) Validate(p sinks.Payload) error {
	if !targetName.MatchString(p.Target) {
		return fmt.Errorf("the target %q is not a name of 1 to 64 letters, digits, underscores and hyphens", p.Target)
	}
	return nil
}

// Deliver implements sinks.Sink. A payload that fails does not keep the next
// ones from being tried.
func (s *spool) Deliver(ctx context.Context, batch []sinks.Payload) error {
	var failures []sinks.Failure
	for i, p := range batch {
		switch err := s.Validate(p); {
		case err != nil:
			failures = append(failures, sinks.Failure{Index: i, Class: sinks.Permanent, Err: err})
		case ctx.Err() != nil:
			failures = append(failures, sinks.Failure{Index: i, Err: context.Cause(ctx)})
		default:
			if err := s.write(p); err != nil {
				failures = append(failures, sinks.Failure{Index: i, Err: err})
			}
		}
	}
	if len(failures) == 0 {
		return nil
	}
	return &sinks.DeliverError{Failures: failures}
}

// write puts the payload where it belongs at once and as a whole: who picks
// files up never sees half of one.
func (s *spool) write(p sinks.Payload) error {
	dir := filepath.Join(s.dir, p.Target)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making the directory: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("making the file: %w", err)
	}
	_, err = tmp.Write(p.Value)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		sum := sha256.Sum256([]byte(p.ID))
		err = os.Rename(tmp.Name(), filepath.Join(dir, hex.EncodeToString(sum[:16])))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the file: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// Check implements sinks.Checker.
func (s *spool) Check(context.Context) error {
	info, err := os.Stat(s.dir)
	if err != nil {
		return fmt.Errorf("looking for the directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", s.dir)
	}
	return nil
}

// Close implements sinks.Sink.
func (s *spool) Close(context.Context) error { return nil }
