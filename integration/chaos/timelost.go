package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// The stream of a measurement: long enough that the killed process is back
// before its end, and thin enough that nothing waits but for the dead.
const (
	lostMessages = 1350
	lostRate     = 30
)

// TimeLost says how long a killed process is missed, in milliseconds. It is
// measured from SIGKILL on, by the tasks' own log and the broker's log of
// commits.
type TimeLost struct {
	// Ingest is the time until the only ingest, which is started again at once,
	// has made progress: a task of a message that was sent after its death has
	// begun, and an offset has moved. IngestStatic is the same with
	// kafka.group_instance_id.
	Ingest       int64 `json:"time_lost_ingest_ms"`
	IngestStatic int64 `json:"time_lost_ingest_static_ms"`

	// Executor is the time until the last task that was waiting or running when
	// one of two executors died has begun on the other. RestPause is the
	// longest time meanwhile in which no task of the stream ended.
	Executor  int64 `json:"time_lost_executor_ms"`
	RestPause int64 `json:"rest_max_pause_ms"`
}

// Missed are the bars that were missed.
func (t TimeLost) Missed() []string {
	var out []string
	for _, bar := range []struct {
		name        string
		value, most int64
	}{
		{"time_lost_ingest_ms", t.Ingest, 12000},
		{"time_lost_ingest_static_ms", t.IngestStatic, 3000},
		{"time_lost_executor_ms", t.Executor, 12000},
		{"rest_max_pause_ms", t.RestPause, 3000},
	} {
		if bar.value > bar.most {
			out = append(out, fmt.Sprintf("%s is %d, the bar is %d", bar.name, bar.value, bar.most))
		}
	}
	return out
}

// measureTimeLost prints one line for each round.
func measureTimeLost(ctx context.Context, o options, out io.Writer, tell func(string)) error {
	o.messages, o.rate = lostMessages, lostRate
	dir, err := os.MkdirTemp(o.dir, "chaos-time-lost-")
	if err != nil {
		return fmt.Errorf("making the directory of the measurement: %w", err)
	}
	var errs []error
	for i := range o.rounds {
		errs = append(errs, timeLostRound(ctx, o, filepath.Join(dir, fmt.Sprint(i)), out, tell))
	}
	return o.leave(dir, errors.Join(errs...))
}

func timeLostRound(ctx context.Context, o options, dir string, out io.Writer, tell func(string)) (err error) {
	w, err := openWorld(ctx, dir, tell)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var lost TimeLost
	for _, c := range []struct {
		name   string
		victim role
		env    []string
		set    func(gap)
	}{
		{"ingest", ingest, nil, func(g gap) { lost.Ingest = g.ingest().Milliseconds() }},
		{"static", ingest, []string{"DRAKKAR_KAFKA__GROUP_INSTANCE_ID=the-ingest"}, func(g gap) { lost.IngestStatic = g.ingest().Milliseconds() }},
		{"executor", executor, nil, func(g gap) {
			missed, rest := g.executor()
			lost.Executor, lost.RestPause = missed.Milliseconds(), rest.Milliseconds()
		}},
	} {
		cfg := roundConfig{options: o, seed: o.seed, dir: filepath.Join(dir, c.name), world: w, tell: tell}
		g, err := killOne(ctx, cfg, c.name, c.victim, c.env)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", c.name, err)
		}
		c.set(g)
	}
	text, err := line(lost)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, text)
	if missed := lost.Missed(); len(missed) > 0 {
		return errors.New(strings.Join(missed, "; "))
	}
	return nil
}

// gap is a death and what the logs tell of the time around it.
type gap struct {
	at      time.Time
	sent    int // messages before it
	all     map[int][]execution
	commits []commit
}

// killOne runs a pipeline of one ingest and two executors and kills one of them
// in the middle of its stream. An ingest is started again at once, an executor
// is not.
func killOne(ctx context.Context, cfg roundConfig, name string, victim role, env []string) (g gap, err error) {
	r := &round{roundConfig: cfg}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx, fmt.Sprintf("lost-%s-%d", name, time.Now().UnixMilli())); err != nil {
		return gap{}, err
	}
	r.fleet.env = env
	if err := r.populate(1, 2); err != nil {
		return gap{}, err
	}
	var count atomic.Int64
	sending := make(chan error, 1)
	go func() {
		sending <- r.broker.send(ctx, r.topics.source, r.partitions, orders(r.seed, r.messages), r.rate, func(n int) { count.Store(int64(n)) })
	}()
	err = eventually(ctx, r.patience, func() error { return r.committedAtLeast(ctx, int64(r.messages/6)) })
	if err == nil {
		g.at, g.sent, err = r.killIn(ctx, victim, &count)
	}
	if err := errors.Join(err, <-sending); err != nil {
		return gap{}, err
	}
	return g, r.measure(ctx, &g)
}

func (r *round) committedAtLeast(ctx context.Context, n int64) error {
	sum, err := r.broker.committed(ctx, r.topics.group, r.topics.source, r.partitions)
	if err == nil && sum < n {
		err = fmt.Errorf("%d of %d messages are committed", sum, n)
	}
	return err
}

func (r *round) killIn(ctx context.Context, victim role, count *atomic.Int64) (at time.Time, sent int, err error) {
	m, err := r.fleet.await(ctx, victim, 0)
	if err != nil {
		return at, 0, err
	}
	if victim == executor {
		if err := eventually(ctx, r.patience, func() error { return r.busy(m) }); err != nil {
			return at, 0, err
		}
	}
	at, sent = time.Now(), int(count.Load())
	if err := m.program.Kill(); err != nil {
		return at, sent, err
	}
	if victim == executor {
		m.program = nil
		r.journal.note(event{at: at, kind: killExecutor, target: m.run()})
		return at, sent, nil
	}
	r.journal.note(event{at: at, kind: killIngest, target: m.run()})
	return at, sent, r.fleet.start(m)
}

// busy returns an error unless the executor runs some tasks, so that there is
// something to lose.
func (r *round) busy(m *member) error {
	all, err := r.executed()
	if err != nil {
		return err
	}
	running := 0
	for _, runs := range all {
		for _, e := range runs {
			if e.run == m.run() && !e.finished() {
				running++
			}
		}
	}
	if running < 2 {
		return fmt.Errorf("%s runs %d tasks", m.name, running)
	}
	return nil
}

// measure waits for the end of the stream and reads the logs.
func (r *round) measure(ctx context.Context, g *gap) error {
	left, err := r.settle(ctx)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d messages were never committed", left)
	}
	if err != nil {
		return err
	}
	if err := r.fleet.stop(); err != nil {
		return err
	}
	if g.all, err = r.executed(); err != nil {
		return err
	}
	g.commits, err = r.broker.commits(ctx, r.topics.group, r.topics.source)
	return err
}

// ingest is the time until a message that was sent later was worked on, and
// until an offset moved.
func (g gap) ingest() time.Duration {
	var began, moved time.Time
	for n, runs := range g.all {
		if n >= g.sent && (began.IsZero() || runs[0].began.Before(began)) {
			began = runs[0].began
		}
	}
	highest := map[int32]int64{}
	for _, c := range g.commits {
		if c.at.After(g.at) && moved.IsZero() && c.offset > highest[c.partition] {
			moved = c.at
		}
		highest[c.partition] = max(highest[c.partition], c.offset)
	}
	return max(began.Sub(g.at), moved.Sub(g.at))
}

// executor is the time until everything that was sent before had begun, and the
// longest pause of the stream in it.
func (g gap) executor() (missed, rest time.Duration) {
	last := g.at
	var ends []time.Time
	for n, runs := range g.all {
		for _, e := range runs {
			if n < g.sent && e.began.After(last) {
				last = e.began
			}
			if e.finished() {
				ends = append(ends, e.ended)
			}
		}
	}
	ends = slices.DeleteFunc(ends, func(t time.Time) bool { return t.Before(g.at) || t.After(last) })
	return last.Sub(g.at), longestGap(append(ends, g.at, last))
}
