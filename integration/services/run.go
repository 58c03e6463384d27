package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Names of services, as Up and the command take them.
const (
	NameKafka    = "kafka"
	NameMongo    = "mongo"
	NamePostgres = "postgres"
	NameRedis    = "redis"
	NameTemporal = "temporal"
)

// every is all services.
var every = []string{NameKafka, NameMongo, NamePostgres, NameRedis, NameTemporal}

// Variables through which tests learn of services that were started for them.
const (
	EnvKafka             = "DRAKKARTEST_KAFKA"
	EnvMongo             = "DRAKKARTEST_MONGO"    // a URL
	EnvPostgres          = "DRAKKARTEST_POSTGRES" // a URL, with a login
	EnvRedis             = "DRAKKARTEST_REDIS"    // a URL
	EnvTemporal          = "DRAKKARTEST_TEMPORAL"
	EnvTemporalNamespace = "DRAKKARTEST_TEMPORAL_NAMESPACE"
)

// commandWait is how long a command may take to end after it was interrupted.
const commandWait = time.Minute

// Ports are where services listen; 0 takes a free one.
type Ports struct {
	Kafka, Mongo, Postgres, Redis, Temporal int
	// TemporalUI serves Temporal's web UI; 0 leaves it out.
	TemporalUI int
}

// Group is some services that run together.
type Group struct {
	// Each is nil when it was not asked for.
	Kafka    *Kafka
	Mongo    *Mongo
	Postgres *Postgres
	Redis    *Redis
	Temporal *Temporal

	dir string
}

// Install installs services without starting them.
func Install(ctx context.Context, h Home, names []string) error {
	for _, name := range names {
		var err error
		switch name {
		case NameKafka:
			_, err = InstallKafka(ctx, h)
		case NameMongo:
			_, err = InstallFerretDB(ctx, h)
		case NamePostgres:
			_, err = InstallPostgres(ctx, h)
		case NameRedis:
			err = InstallRedis(ctx, h)
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
	switch name {
	case NameKafka:
		g.Kafka, err = StartKafka(ctx, KafkaConfig{Home: h, Dir: dir, Port: ports.Kafka})
	case NameMongo:
		g.Mongo, err = StartMongo(ctx, MongoConfig{Home: h, Dir: dir, Port: ports.Mongo})
	case NamePostgres:
		g.Postgres, err = StartPostgres(ctx, PostgresConfig{Home: h, Dir: dir, Port: ports.Postgres})
	case NameRedis:
		g.Redis, err = StartRedis(ctx, RedisConfig{Home: h, Dir: dir, Port: ports.Redis})
	case NameTemporal:
		g.Temporal, err = StartTemporal(ctx, TemporalConfig{Home: h, Dir: dir, Port: ports.Temporal, UIPort: ports.TemporalUI})
	default:
		err = unknown(name)
	}
	return err
}

// Environment is what tells tests of the services, as KEY=value.
func (g *Group) Environment() []string {
	var env []string
	if g.Kafka != nil {
		env = append(env, EnvKafka+"="+g.Kafka.Addr())
	}
	if g.Mongo != nil {
		env = append(env, EnvMongo+"="+g.Mongo.URL())
	}
	if g.Postgres != nil {
		env = append(env, EnvPostgres+"="+g.Postgres.URL())
	}
	if g.Redis != nil {
		env = append(env, EnvRedis+"="+g.Redis.URL())
	}
	if g.Temporal != nil {
		env = append(env, EnvTemporal+"="+g.Temporal.Addr(), EnvTemporalNamespace+"="+g.Temporal.Namespace())
	}
	return env
}

// running is what all services have in common.
type running interface {
	Addr() string
	Log() string
	Alive() error
	Stop() error
}

// services are those of the group by their names.
func (g *Group) services() map[string]running {
	all := map[string]running{}
	if g.Kafka != nil {
		all[NameKafka] = g.Kafka
	}
	if g.Mongo != nil {
		all[NameMongo] = g.Mongo
	}
	if g.Postgres != nil {
		all[NamePostgres] = g.Postgres
	}
	if g.Redis != nil {
		all[NameRedis] = g.Redis
	}
	if g.Temporal != nil {
		all[NameTemporal] = g.Temporal
	}
	return all
}

// Alive returns an error for each service that has ended.
func (g *Group) Alive() error {
	var errs []error
	for _, s := range g.services() {
		errs = append(errs, s.Alive())
	}
	return errors.Join(errs...)
}

// Down stops all services, all at the same time, and removes their data.
func (g *Group) Down() error {
	var errs []error
	stopped := make(chan error)
	all := g.services()
	for _, s := range all {
		go func() { stopped <- s.Stop() }()
	}
	for range all {
		errs = append(errs, <-stopped)
	}
	if err := os.RemoveAll(g.dir); err != nil {
		errs = append(errs, fmt.Errorf("removing the data of services: %w", err))
	}
	return errors.Join(errs...)
}

// Run starts services, runs a command with their addresses in its environment
// and takes the services down again. When ctx ends the command gets SIGTERM.
// The error of a command that failed is an [exec.ExitError]; the logs of the
// services are then kept in the home, in logs.
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
		return errors.Join(fmt.Errorf("running %s: %w", command[0], err), g.Alive(), g.keepLogs(h))
	}
	return nil
}

// keepLogs copies the logs to where Down does not remove them, in place of those
// that were kept before.
func (g *Group) keepLogs(h Home) error {
	dir := filepath.Join(h.Dir, "logs")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("keeping the logs of services: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keeping the logs of services: %w", err)
	}
	for name, s := range g.services() {
		log, err := os.ReadFile(s.Log())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".log"), log, 0o644)
		}
		if err != nil {
			return fmt.Errorf("keeping the log of %s: %w", name, err)
		}
	}
	h.progressf("the command failed; the logs of the services are kept in %s", dir)
	return nil
}

func unknown(name string) error {
	return fmt.Errorf("there is no service %q: use %s or all", name, strings.Join(every, ", "))
}
