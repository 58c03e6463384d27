package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// server is a service of one process that listens to one port.
type server struct {
	name string
	dir  string
	port int
	// command is the program which serves at the port.
	command func() *exec.Cmd
	// answers asks whether it can be used.
	answers func(ctx context.Context) error
	// ending is the signal for an orderly end; nil means SIGTERM.
	ending os.Signal
	*process
}

// begin starts the server for the first time, at the port that was asked for or
// at a free one.
func (s *server) begin(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of %s: %w", s.name, err)
	}
	asked := s.port
	for attempt := 1; ; attempt++ {
		if asked == 0 {
			ports, err := freePorts(1)
			if err != nil {
				return err
			}
			s.port = ports[0]
		}
		err := s.launch(ctx)
		if err == nil || asked != 0 || !errors.Is(err, errEnded) || attempt == startAttempts {
			return err
		}
	}
}

// launch starts the server and waits for it.
func (s *server) launch(ctx context.Context) error {
	p, err := startCommand(s.name, s.Log(), s.command())
	if err != nil {
		return err
	}
	p.ending = s.ending
	s.process = p
	if err := p.wait(ctx, s.ask); err != nil {
		return errors.Join(err, p.kill())
	}
	return nil
}

func (s *server) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, errProbe)
	defer cancel()
	return s.answers(ctx)
}

// Addr is the server's address, host:port. It stays the same over Restart.
func (s *server) Addr() string { return loopback(s.port) }

// Log is the path of the server's log.
func (s *server) Log() string { return filepath.Join(s.dir, s.name+".log") }

// Stop ends the server in an orderly way.
func (s *server) Stop() error { return s.stop() }

// Kill ends the server with SIGKILL.
func (s *server) Kill() error { return s.kill() }

// Alive returns an error with the end of the log when the server has ended.
func (s *server) Alive() error { return s.alive() }

// Restart starts the server again after Stop or Kill, on the same data and at
// the same address, and returns once it answers.
func (s *server) Restart(ctx context.Context) error { return s.launch(ctx) }
