package services

import (
	"os"
	"os/exec"
	"slices"
	"strings"
)

// ProgramConfig says how to run one of the project's own programs.
type ProgramConfig struct {
	// Name is for people: ingest, executor-1.
	Name string
	// Binary is the program, Args its arguments.
	Binary string
	Args   []string
	// Env is added to the environment of this process, of which settings of
	// Drakkar are left out: they are of somebody else's pipeline.
	Env []string
	// Log is the file its output is appended to.
	Log string
}

// Program is a running program of the project. It is killed when this process
// dies.
type Program struct{ *process }

// StartProgram starts a program. It does not wait until the program is ready.
func StartProgram(cfg ProgramConfig) (*Program, error) {
	cmd := exec.Command(cfg.Binary, cfg.Args...) //nolint:noctx // it ends by Stop and Kill
	others := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DRAKKAR_") })
	cmd.Env = slices.Concat(others, cfg.Env)
	p, err := startCommand(cfg.Name, cfg.Log, cmd)
	if err != nil {
		return nil, err
	}
	return &Program{p}, nil
}

// Name is the program's.
func (p *Program) Name() string { return p.name }

// Signal sends a signal, for what neither Stop nor Kill does.
func (p *Program) Signal(s os.Signal) error { return p.signal(s) }

// Stop ends the program with SIGTERM, and with SIGKILL when that takes too long.
func (p *Program) Stop() error { return p.stop() }

// Kill ends the program with SIGKILL.
func (p *Program) Kill() error { return p.kill() }

// Alive returns an error with the end of the log when the program has ended.
func (p *Program) Alive() error { return p.alive() }
