package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/drakkar-go/drakkar/integration/services"
)

// world is the services a pipeline stands on.
type world struct {
	kafkaAddr, temporalAddr, namespace string

	// Services of our own, which can be killed; nil for somebody else's.
	kafka    *server
	temporal *server
}

// server is a service that comes back with its data, at its address.
type server struct {
	mu      sync.Mutex // one death at a time
	kill    func() error
	restart func(context.Context) error
	stop    func() error
	alive   func() error
}

// startWorld starts a broker and a Temporal that keep their data below dir.
func startWorld(ctx context.Context, home services.Home, dir string) (*world, error) {
	k, err := services.StartKafka(ctx, services.KafkaConfig{Home: home, Dir: filepath.Join(dir, "kafka")})
	if err != nil {
		return nil, err
	}
	t, err := services.StartTemporal(ctx, services.TemporalConfig{
		Home: home, Dir: filepath.Join(dir, "temporal"),
	})
	if err != nil {
		return nil, errors.Join(err, k.Kill())
	}
	return &world{
		kafkaAddr: k.Addr(), temporalAddr: t.Addr(), namespace: t.Namespace(),
		kafka:    &server{kill: k.Kill, restart: k.Restart, stop: k.Stop, alive: k.Alive},
		temporal: &server{kill: t.Kill, restart: t.Restart, stop: t.Stop, alive: t.Alive},
	}, nil
}

// crash kills the service and brings it back after rest. dead is called once it
// is dead, with the time of its death.
func (s *server) crash(ctx context.Context, rest time.Duration, dead func(at time.Time)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Now()
	if err := s.kill(); err != nil {
		return err
	}
	dead(at)
	pause(ctx, rest)
	return s.restart(ctx)
}

// alive returns why a service of our own is not there.
func (w *world) alive() error {
	var errs []error
	for _, s := range []*server{w.kafka, w.temporal} {
		if s != nil {
			errs = append(errs, s.alive())
		}
	}
	return errors.Join(errs...)
}

// close ends our own services.
func (w *world) close() error {
	var errs []error
	for _, s := range []*server{w.temporal, w.kafka} {
		if s != nil {
			errs = append(errs, s.stop())
		}
	}
	return errors.Join(errs...)
}

// dial returns a client of Temporal that keeps its troubles to itself.
func (w *world) dial() (client.Client, error) {
	c, err := client.NewLazyClient(client.Options{
		HostPort: w.temporalAddr, Namespace: w.namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return nil, fmt.Errorf("making a client of Temporal: %w", err)
	}
	return c, nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
