package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/drakkar-go/drakkar/integration/services"
)

// world is the services a pipeline stands on.
type world struct {
	kafkaAddr, temporalAddr, namespace string

	// The databases of the stores.
	postgresURL, mongoURL, redisURL string

	// Services of our own, which can be killed; nil for somebody else's.
	kafka     *server
	temporal  *server
	databases []*server
}

// service is a service that comes back with its data, at its address.
type service interface {
	Kill() error
	Restart(ctx context.Context) error
	Stop() error
	Alive() error
}

// server is a service that is killed, now and then.
type server struct {
	service

	name string
	mu   sync.Mutex // one death at a time
}

// startWorld starts services that keep their data below dir.
func startWorld(ctx context.Context, home services.Home, dir string) (_ *world, err error) {
	w := &world{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	k, err := services.StartKafka(ctx, services.KafkaConfig{Home: home, Dir: filepath.Join(dir, "kafka"), Properties: map[string]string{
		"authorizer.class.name":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found": "true", // a topic refuses when it is told to
	}})
	if err != nil {
		return nil, err
	}
	w.kafka, w.kafkaAddr = &server{service: k, name: services.NameKafka}, k.Addr()
	t, err := services.StartTemporal(ctx, services.TemporalConfig{Home: home, Dir: filepath.Join(dir, "temporal")})
	if err != nil {
		return nil, err
	}
	w.temporal, w.temporalAddr, w.namespace = &server{service: t, name: services.NameTemporal}, t.Addr(), t.Namespace()
	p, err := services.StartPostgres(ctx, services.PostgresConfig{Home: home, Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		return nil, err
	}
	w.databases, w.postgresURL = append(w.databases, &server{service: p, name: services.NamePostgres}), p.URL()
	m, err := services.StartMongo(ctx, services.MongoConfig{Home: home, Dir: filepath.Join(dir, "mongo")})
	if err != nil {
		return nil, err
	}
	w.databases, w.mongoURL = append(w.databases, &server{service: m, name: services.NameMongo}), m.URL()
	r, err := services.StartRedis(ctx, services.RedisConfig{Home: home, Dir: filepath.Join(dir, "redis")})
	if err != nil {
		return nil, err
	}
	w.databases, w.redisURL = append(w.databases, &server{service: r, name: services.NameRedis}), r.URL()
	return w, nil
}

// ours are the services that were started here.
func (w *world) ours() []*server {
	all := append([]*server{w.kafka, w.temporal}, w.databases...)
	return slices.DeleteFunc(all, func(s *server) bool { return s == nil })
}

// crash kills the service and brings it back after rest. dead is called once it
// is dead, with the time of its death.
func (s *server) crash(ctx context.Context, rest time.Duration, dead func(at time.Time)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Now()
	if err := s.Kill(); err != nil {
		return err
	}
	dead(at)
	pause(ctx, rest)
	return s.Restart(ctx)
}

// alive returns why a service of our own is not there.
func (w *world) alive() error {
	var errs []error
	for _, s := range w.ours() {
		errs = append(errs, s.Alive())
	}
	return errors.Join(errs...)
}

// close ends our own services, what came last first.
func (w *world) close() error {
	var errs []error
	for _, s := range slices.Backward(w.ours()) {
		errs = append(errs, s.Stop())
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
