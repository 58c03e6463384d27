package app

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq/dlqcmd"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
)

// MainDLQ is the command "drakkar dlq", which lists, shows and replays dead
// letters; args are those after it. It returns the exit code. A program with
// sinks of its own passes their constructors, as in [Options.Sinks], so that
// payloads can be replayed to them.
func MainDLQ(args []string, custom map[string]SinkConstructor) int {
	return dlqcmd.Command(args, dlqcmd.Env{
		Environ: os.Environ(), Out: os.Stdout, ErrOut: os.Stderr,
		OpenSink: func(ctx context.Context, cfg *config.Config, ref sinks.Ref) (*sinks.Set, error) {
			return OpenSink(ctx, cfg, custom, ref)
		},
	})
}

// OpenSink opens one sink of the settings and nothing else, with the policy it
// has in an executor. Its caller closes it. Others may be away, or not be
// configured rightly.
func OpenSink(ctx context.Context, cfg *config.Config, custom map[string]SinkConstructor, ref sinks.Ref) (*sinks.Set, error) {
	alone := *cfg
	alone.Sinks = only(cfg.Sinks, ref)
	// It is never started; the role is the one that needs no handler.
	a, err := New(Options{Config: &alone, Role: Ingest, Sinks: custom})
	if err != nil {
		return nil, err
	}
	a.encoded = true
	a.rec = events.Discard // what an executor counts and logs, the command tells by itself
	instances, err := a.openSinks(ctx)
	if err != nil {
		return nil, err
	}
	if len(instances) == 0 {
		return nil, fmt.Errorf("sinks.%s.%s is not configured", ref.Type, ref.Name)
	}
	set, err := sinks.NewSet(instances, a.rec)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("configuring sinks: %w", err), closeAll(instances))
	}
	return set, nil
}

// only leaves one sink.
func only(s config.Sinks, ref sinks.Ref) config.Sinks {
	out := config.Sinks{CircuitBreaker: s.CircuitBreaker}
	switch ref.Type {
	case sinks.Kafka:
		out.Kafka = one(s.Kafka, ref.Name)
	case sinks.Postgres:
		out.Postgres = one(s.Postgres, ref.Name)
	case sinks.Mongo:
		out.Mongo = one(s.Mongo, ref.Name)
	case sinks.HTTP:
		out.HTTP = one(s.HTTP, ref.Name)
	case sinks.Redis:
		out.Redis = one(s.Redis, ref.Name)
	case sinks.Filesystem:
		out.Filesystem = one(s.Filesystem, ref.Name)
	case sinks.Custom:
		out.Custom = one(s.Custom, ref.Name)
	}
	return out
}

func one[C any](section map[string]C, name string) map[string]C {
	sink, ok := section[name]
	if !ok {
		return nil
	}
	return map[string]C{name: sink}
}
