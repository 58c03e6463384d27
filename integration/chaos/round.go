package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
)

// sessionTimeout is kafka.session_timeout of a round: the broker's least.
const sessionTimeout = 6 * time.Second

// roundConfig is what a round is made of.
type roundConfig struct {
	options
	seed  uint64
	dir   string // logs, settings and stores
	world *world
	tell  func(string)
}

// round is one pipeline from its first message to its last commit.
type round struct {
	roundConfig
	session  time.Duration // kafka.session_timeout; 0 leaves the default
	topics   topics
	stores   []store
	broker   *broker
	temporal client.Client
	journal  *journal
	fleet    *fleet
	ends     []func() error
}

// runRound runs a round and computes its report. The error is of the program,
// not of the pipeline: that the pipeline failed is in the report.
func runRound(ctx context.Context, cfg roundConfig) (report Report, err error) {
	r := &round{roundConfig: cfg, session: sessionTimeout}
	defer func() { err = errors.Join(err, r.close()) }()
	began := time.Now()
	if err := r.open(ctx, fmt.Sprintf("chaos-%d-%d", cfg.seed, began.UnixMilli())); err != nil {
		return Report{}, err
	}
	if err := r.populate(r.ingests, r.executors); err != nil {
		return Report{}, err
	}
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { r.fleet.watch(watching) })
	err = r.storm(ctx)
	uncommitted := 0
	if err == nil {
		uncommitted, err = r.settle(ctx)
	}
	stop()
	watch.Wait()
	if err != nil {
		return Report{}, errors.Join(err, r.world.alive())
	}
	took := time.Since(began)
	if err := r.fleet.stop(); err != nil {
		return Report{}, err
	}
	report, err = r.verify(ctx)
	report.Uncommitted, report.Seconds = uncommitted, seconds(took)
	return report, err
}

// open makes everything a round needs but its processes.
func (r *round) open(ctx context.Context, name string) (err error) {
	r.topics = topicsOf(name)
	r.stores, err = openStores(ctx, r.world, r.path("store"), r.topics.group)
	for _, s := range r.stores {
		r.ends = append(r.ends, s.close)
	}
	if err != nil {
		return err
	}
	if r.broker, err = openBroker(r.world.kafkaAddr); err != nil {
		return err
	}
	r.ends = append(r.ends, func() error { r.broker.close(); return nil })
	if r.temporal, err = r.world.dial(); err != nil {
		return err
	}
	r.ends = append(r.ends, func() error { r.temporal.Close(); return nil })
	if r.journal, err = openJournal(r.path("journal.log"), r.tell); err != nil {
		return err
	}
	r.ends = append(r.ends, r.journal.close)
	err = r.broker.create(ctx, map[string]int{r.topics.source: r.partitions, r.topics.results: 4, r.topics.letters: 1})
	if err != nil {
		return err
	}
	// The broker's own time tells whether it refused what it had to.
	if err := r.broker.set(ctx, r.topics.results, "message.timestamp.type", "LogAppendTime"); err != nil {
		return err
	}
	config, err := r.configure(ctx)
	if err != nil {
		return err
	}
	binary, err := self()
	if err != nil {
		return err
	}
	r.fleet = &fleet{binary: binary, config: config, logs: r.path("logs"), journal: r.journal}
	r.ends = append(r.ends, func() error { r.fleet.kill(); return nil })
	return nil
}

// populate starts the processes.
func (r *round) populate(ingests, executors int) error {
	for role, n := range map[role]int{executor: executors, ingest: ingests} {
		for range n {
			m, err := r.fleet.add(role)
			if err != nil {
				return err
			}
			r.fleet.release(m)
		}
	}
	return nil
}

// storm sends the stream, and does what the schedule says meanwhile.
func (r *round) storm(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := &breaker{
		world: r.world, broker: r.broker, fleet: r.fleet, journal: r.journal, temporal: r.temporal,
		results: r.topics.results, pipeline: r.topics.group,
	}
	length := time.Duration(float64(r.messages) / r.rate * float64(time.Second))
	moments := schedule(r.seed, r.faults, r.moments, length)
	errs := make([]error, len(moments)+1)
	var all sync.WaitGroup
	all.Go(func() {
		errs[0] = r.broker.send(ctx, r.topics.source, r.partitions, orders(r.seed, r.messages), r.rate, func(int) {})
	})
	for i, m := range moments {
		all.Go(func() {
			pause(ctx, m.after)
			if ctx.Err() == nil {
				errs[i+1] = b.do(ctx, m)
			}
			if errs[i+1] != nil {
				cancel() // the round cannot be judged any more
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// settle waits until everything is committed, or nothing more is.
func (r *round) settle(ctx context.Context) (uncommitted int, err error) {
	last, moved := int64(-1), time.Now()
	for {
		n, err := r.broker.committed(ctx, r.topics.group, r.topics.source, r.partitions)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err == nil && n >= int64(r.messages):
			return 0, nil
		case err == nil && n != last:
			last, moved = n, time.Now()
		case time.Since(moved) > r.patience:
			r.journal.say(fmt.Sprintf("no commit for %s, %d of %d are there", r.patience, last, r.messages), "")
			return r.messages - int(max(0, last)), nil
		}
		pause(ctx, 250*time.Millisecond)
	}
}

// close lets go of everything, what came last first.
func (r *round) close() error {
	var errs []error
	for _, end := range slices.Backward(r.ends) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}
