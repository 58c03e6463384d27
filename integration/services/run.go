package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Names of services, as Up and the command take them.
const (
	NameKafka    = "kafka"
	NameTemporal = "temporal"
)

// Variables through which tests learn of services that were started for them.
const (
	EnvKafka             = "DRAKKARTEST_KAFKA"
	EnvTemporal          = "DRAKKARTEST_TEMPORAL"
	EnvTemporalNamespace = "DRAKKARTEST_TEMPORAL_NAMESPACE"
)

// commandWait is how long a command may take to end after it was interrupted.
const commandWait = time.Minute

// Ports are where services listen; 0 takes a free one.
type Ports struct {
	Kafka, Temporal int
	// TemporalUI serves Temporal's web UI; 0 leaves it out.
	TemporalUI int
}

// Group is some services that run together.
type Group struct {
	Kafka    *Kafka    // nil when it was not asked for
	Temporal *Temporal // nil when it was not asked for
	dir      string
}

// Install installs services without starting them.
func Install(ctx context.Context, h Home, names []string) error {
	for _, name := range names {
		var err error
		switch name {
		case NameKafka:
			_, err = InstallKafka(ctx, h)
		case NameTemporal:
			_, err = InstallTemporal(ctx, h)
		default:
			err = unknown(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Up starts services, all at the same time, with data that Down removes.
func Up(ctx context.Context, h Home, ports Ports, names []string) (*Group, error) {
	if err := Install(ctx, h, names); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "drakkar-services-")
	if err != nil {
		return nil, fmt.Errorf("making the directory for the data of services: %w", err)
	}
	g := &Group{dir: dir}
	errs := make([]error, len(names))
	var started sync.WaitGroup
	for i, name := range names {
		started.Go(func() { errs[i] = g.start(ctx, h, ports, name) })
	}
	started.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, g.Down())
	}
	return g, nil
}

func (g *Group) start(ctx context.Context, h Home, ports Ports, name string) (err error) {
	dir := filepath.Join(g.dir, name)
	if name == NameKafka {
		g.Kafka, err = StartKafka(ctx, KafkaConfig{Home: h, Dir: dir, Port: ports.Kafka})
		return err
	}
	g.Temporal, err = StartTemporal(ctx, TemporalConfig{Home: h, Dir: dir, Port: ports.Temporal, UIPort: ports.TemporalUI})
	return err
}

// Environment is what tells tests of the services, as KEY=value.
func (g *Group) Environment() []string {
	var env []string
	if g.Kafka != nil {
		env = append(env, EnvKafka+"="+g.Kafka.Addr())
	}
	if g.Temporal != nil {
		env = append(env, EnvTemporal+"="+g.Temporal.Addr(), EnvTemporalNamespace+"="+g.Temporal.Namespace())
	}
	return env
}

// Alive returns an error for each service that has ended.
func (g *Group) Alive() error {
	var errs []error
	if g.Kafka != nil {
		errs = append(errs, g.Kafka.Alive())
	}
	if g.Temporal != nil {
		errs = append(errs, g.Temporal.Alive())
	}
	return errors.Join(errs...)
}

// Down stops all services and removes their data.
func (g *Group) Down() error {
	var errs []error
	if g.Temporal != nil {
		errs = append(errs, g.Temporal.Stop())
	}
	if g.Kafka != nil {
		errs = append(errs, g.Kafka.Stop())
	}
	if err := os.RemoveAll(g.dir); err != nil {
		errs = append(errs, fmt.Errorf("removing the data of services: %w", err))
	}
	return errors.Join(errs...)
}

// Run starts services, runs a command with their addresses in its environment
// and takes the services down again. When ctx ends the command gets SIGTERM.
// The error of a command that failed is an [exec.ExitError].
func Run(ctx context.Context, h Home, names, command []string) (err error) {
	if len(command) == 0 {
		return errors.New("there is no command to run")
	}
	g, err := Up(ctx, h, Ports{}, names)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Down()) }()

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), g.Environment()...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = commandWait
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("running %s: %w", command[0], err), g.Alive())
	}
	return nil
}

func unknown(name string) error {
	return fmt.Errorf("there is no service %q: use %s, %s or all", name, NameKafka, NameTemporal)
}
