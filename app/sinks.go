package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/files"
	"github.com/drakkar-go/drakkar/sinks/http"
	"github.com/drakkar-go/drakkar/sinks/kafka"
	"github.com/drakkar-go/drakkar/sinks/mongo"
	"github.com/drakkar-go/drakkar/sinks/postgres"
	"github.com/drakkar-go/drakkar/sinks/redis"
)

// startSinks opens every configured sink, in the order of their names. One that
// cannot be made has those before it closed again, by the app.
func (a *App) startSinks(ctx context.Context) (*sinks.Set, error) {
	instances, err := a.openSinks(ctx)
	if err != nil {
		return nil, err
	}
	if len(instances) == 0 {
		return nil, errors.New("sinks: none is configured: name at least one below sinks, as in sinks.kafka.<name>")
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

func (a *App) openSinks(ctx context.Context) ([]sinks.Instance, error) {
	s := a.cfg.Sinks
	o := &opener{app: a}
	openAll(o, sinks.Kafka, s.Kafka, func(name string, cfg config.KafkaSink) (sinks.Sink, config.Delivery, error) {
		sink, err := kafka.New(name, cfg, a.cfg.Kafka)
		return sink, cfg.Delivery, err
	})
	openAll(o, sinks.Postgres, s.Postgres, func(name string, cfg config.PostgresSink) (sinks.Sink, config.Delivery, error) {
		sink, err := postgres.New(name, cfg)
		if err == nil {
			a.pools[name] = sink.Pool()
		}
		return sink, cfg.Delivery, err
	})
	openAll(o, sinks.Mongo, s.Mongo, func(name string, cfg config.MongoSink) (sinks.Sink, config.Delivery, error) {
		sink, err := mongo.New(name, cfg)
		return sink, cfg.Delivery, err
	})
	openAll(o, sinks.HTTP, s.HTTP, func(name string, cfg config.HTTPSink) (sinks.Sink, config.Delivery, error) {
		sink, err := http.New(name, cfg)
		return sink, cfg.Delivery, err
	})
	openAll(o, sinks.Redis, s.Redis, func(name string, cfg config.RedisSink) (sinks.Sink, config.Delivery, error) {
		sink, err := redis.New(name, cfg)
		return sink, cfg.Delivery, err
	})
	openAll(o, sinks.Filesystem, s.Filesystem, func(name string, cfg config.FilesystemSink) (sinks.Sink, config.Delivery, error) {
		sink, err := files.New(name, cfg)
		return sink, cfg.Delivery, err
	})
	openAll(o, sinks.Custom, s.Custom, func(name string, cfg config.CustomSink) (sinks.Sink, config.Delivery, error) {
		sink, err := a.custom(ctx, name, cfg)
		return sink, cfg.Delivery, err
	})
	if o.err != nil {
		return nil, errors.Join(o.err, closeAll(o.out))
	}
	for i, in := range o.out {
		if in.Ref.Type == sinks.Kafka {
			o.out[i].Target = s.Kafka[in.Ref.Name].Topic
		}
	}
	return o.out, nil
}

// opener gathers what was opened, until something fails.
type opener struct {
	app *App
	out []sinks.Instance
	err error
}

// openAll opens the instances of one type, in the order of their names.
func openAll[C any](o *opener, kind sinks.Type, section map[string]C, open func(string, C) (sinks.Sink, config.Delivery, error)) {
	for _, name := range slices.Sorted(maps.Keys(section)) {
		if o.err != nil {
			return
		}
		sink, delivery, err := open(name, section[name])
		if err != nil {
			o.err = fmt.Errorf("opening sinks.%s.%s: %w", kind, name, err)
			return
		}
		in := o.app.instance(sinks.Ref{Type: kind, Name: name}, sink, delivery)
		if in.Codec, err = o.app.codec(delivery.Codec); err != nil {
			o.err = fmt.Errorf("sinks.%s.%s.codec: %w", kind, name, err)
		}
		o.out = append(o.out, in)
	}
}

// custom calls the author's constructor.
func (a *App) custom(ctx context.Context, name string, cfg config.CustomSink) (sinks.Sink, error) {
	open, ok := a.opts.Sinks[cfg.Type]
	if !ok {
		known := slices.Sorted(maps.Keys(a.opts.Sinks))
		return nil, fmt.Errorf("app.Options.Sinks holds no constructor for type %q, it has: %s",
			cfg.Type, cmp.Or(strings.Join(known, ", "), "none"))
	}
	sink, err := open(ctx, name, cfg)
	if err == nil && sink == nil {
		err = fmt.Errorf("the constructor for type %q returned neither a sink nor an error", cfg.Type)
	}
	return sink, err
}

// codec finds a codec by its name.
func (a *App) codec(name string) (sinks.Codec, error) {
	if a.encoded {
		return sinks.Raw, nil
	}
	switch name {
	case "", "json":
		return sinks.JSON, nil
	case "raw":
		return sinks.Raw, nil
	}
	codec, ok := a.opts.Codecs[name]
	if !ok {
		known := append([]string{"json", "raw"}, slices.Sorted(maps.Keys(a.opts.Codecs))...)
		return nil, fmt.Errorf("app.Options.Codecs holds no %q: use one of %s", name, strings.Join(known, ", "))
	}
	return codec, nil
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
