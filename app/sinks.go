package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/files"
	"github.com/drakkar-go/drakkar/sinks/kafka"
)

// startSinks opens every configured sink, in the order of their names. One that
// cannot be made has those before it closed again, by the app.
func (a *App) startSinks(context.Context) (*sinks.Set, error) {
	instances, err := a.openSinks()
	if err != nil {
		return nil, err
	}
	if len(instances) == 0 {
		return nil, errors.New("sinks: none is configured: name at least one below sinks.kafka or sinks.filesystem")
	}
	set, err := sinks.NewSet(instances, a.rec)
	if err != nil {
		return nil, fmt.Errorf("configuring sinks: %w", err)
	}
	a.ends.push("sinks", set.CloseAll)
	a.addCheck("sinks", func(ctx context.Context) []string {
		var out []string
		for ref, err := range set.Check(ctx) {
			out = append(out, fmt.Sprintf("%s: %v", ref, err))
		}
		slices.Sort(out)
		return out
	})
	return set, nil
}

func (a *App) openSinks() ([]sinks.Instance, error) {
	var out []sinks.Instance
	s := a.cfg.Sinks
	if err := unsupported(s); err != nil {
		return nil, err
	}
	for name, cfg := range s.Kafka {
		sink, err := kafka.New(name, cfg, a.cfg.Kafka)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening sinks.kafka.%s: %w", name, err), closeAll(out))
		}
		out = append(out, a.instance(sinks.Ref{Type: sinks.Kafka, Name: name}, sink, cfg.Delivery))
		out[len(out)-1].Target = cfg.Topic
	}
	for name, cfg := range s.Filesystem {
		sink, err := files.New(name, cfg)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening sinks.filesystem.%s: %w", name, err), closeAll(out))
		}
		out = append(out, a.instance(sinks.Ref{Type: sinks.Filesystem, Name: name}, sink, cfg.Delivery))
	}
	return out, nil
}

func (a *App) instance(ref sinks.Ref, s sinks.Sink, d config.Delivery) sinks.Instance {
	return sinks.Instance{Ref: ref, Sink: s, Policy: sinks.Policy{Delivery: d, Breaker: a.cfg.Sinks.CircuitBreaker}}
}

func closeAll(instances []sinks.Instance) error {
	var errs []error
	for _, in := range instances {
		errs = append(errs, in.Sink.Close(context.Background()))
	}
	return errors.Join(errs...)
}

// unsupported refuses sinks whose room is not built yet: a pipeline that
// started without them would lose what is meant for them.
func unsupported(s config.Sinks) error {
	var errs []error
	for kind, n := range map[string]int{
		"postgres": len(s.Postgres), "mongo": len(s.Mongo), "http": len(s.HTTP), "redis": len(s.Redis),
	} {
		if n > 0 {
			errs = append(errs, fmt.Errorf("sinks.%s: this version has no such sink yet, it has kafka and filesystem", kind))
		}
	}
	return errors.Join(errs...)
}
