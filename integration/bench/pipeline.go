package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"go.yaml.in/yaml/v3"

	"github.com/drakkar-go/drakkar/integration/bench/handler"
	"github.com/drakkar-go/drakkar/integration/services"
)

const (
	partitions = 4

	// warmUps are messages that go through a new pipeline before anything is
	// measured. The first of all wait until its processes are up.
	warmUps = 500

	// patience is how long nothing may be committed before a run is given up.
	patience = 5 * time.Minute

	// mib is a mebibyte.
	mib = 1 << 20
)

// section is a part of the settings.
type section = map[string]any

// pipelineConfig is what one pipeline differs by from the defaults.
type pipelineConfig struct {
	// name also tells pipelines apart: two arms with one name share it.
	name string
	plan handler.Plan
	// executor are settings of that section. Nil leaves all at their defaults.
	executor  section
	executors int  // processes; 0 is one
	value     int  // bytes of a message's value, at least; 0 is as few as it takes
	later     bool // its processes are started by who opens it
	warmUps   int  // messages before anything is timed; 0 is the constant
}

// pipeline is a running pipeline with topics of its own.
type pipeline struct {
	cfg                   pipelineConfig
	world                 *world
	name, source, results string
	config                string
	members               []*services.Program // ingest is the first
	reader                *reader
	offsets               *kafka.Consumer // asks for committed offsets
	sent                  int
}

// newPipeline makes its topics and writes its settings.
func newPipeline(ctx context.Context, w *world, cfg pipelineConfig) (*pipeline, error) {
	// Names of their own: two runs of the bench can share services.
	name := "bench-" + cfg.name + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	p := &pipeline{cfg: cfg, world: w, name: name, source: name + "-in", results: name + "-out", config: w.path(name + ".yaml")}
	if err := w.broker.create(ctx, map[string]int{p.source: partitions, p.results: partitions, p.letters(): 1}); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(p.settings())
	if err != nil {
		return nil, fmt.Errorf("encoding the settings: %w", err)
	}
	if err := os.WriteFile(p.config, text, 0o600); err != nil {
		return nil, fmt.Errorf("writing the settings: %w", err)
	}
	if p.offsets, err = w.broker.offsets(p.name); err != nil {
		return nil, err
	}
	if p.reader, err = w.broker.read(p.results, partitions); err != nil {
		return nil, errors.Join(err, p.offsets.Close())
	}
	return p, nil
}

func (p *pipeline) letters() string { return p.source + "_dlq" }

// settings are drakkar.yaml. Everything that is not here has its default.
func (p *pipeline) settings() section {
	executor := section{"binary_path": "/bin/true"}
	maps.Copy(executor, p.cfg.executor)
	return section{
		"kafka":    section{"brokers": p.world.broker.addr, "source_topic": p.source, "consumer_group": p.name},
		"temporal": section{"address": p.world.temporal, "namespace": p.world.namespace},
		"ingest":   section{"metrics_port": 0},
		"metrics":  section{"port": 0},
		"executor": executor,
		"windows":  section{"store": p.world.path("blobs")},
		"sinks":    section{"kafka": section{"results": section{"topic": p.results}}},
	}
}

// start starts the processes.
func (p *pipeline) start() error {
	if err := p.launch("ingest"); err != nil {
		return err
	}
	for i := range max(1, p.cfg.executors) {
		if err := p.launch("executor-" + strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipeline) launch(role string) error {
	plan, err := p.cfg.plan.Encode()
	if err != nil {
		return err
	}
	binary, args := p.world.bin(strings.TrimRight(role, "-0123456789")), []string{"-config", p.config}
	env := []string{handler.EnvPlan + "=" + plan, "WORKER_ID=" + role}
	if p.world.profile != "" {
		// The shipped ingest cannot be profiled; the executor with that role is
		// the same code.
		if role == "ingest" {
			binary, args = p.world.bin("executor"), append(args, "-role", "ingest")
		}
		env = append(env, "DRAKKARTEST_BENCH_PROFILE="+p.world.profile+"/"+p.cfg.name+"-"+role+".pprof")
	}
	m, err := services.StartProgram(services.ProgramConfig{
		Name: role, Binary: binary, Args: args, Env: env, Log: p.world.path("logs", p.name+"-"+role+".log"),
	})
	if err != nil {
		return err
	}
	p.members = append(p.members, m)
	return nil
}

// warmUp sends some messages and waits for them.
func (p *pipeline) warmUp(ctx context.Context) error {
	if err := p.send(ctx, cmp.Or(p.cfg.warmUps, max(1, warmUps/p.cfg.plan.PerMessage()))); err != nil {
		return err
	}
	return p.settle(ctx)
}

// send sends count messages.
func (p *pipeline) send(ctx context.Context, count int) error {
	from := p.sent
	p.sent += count
	return p.world.broker.send(ctx, p.source, partitions, from, p.sent, p.message)
}

// message is the value of message n, a handler.Order.
func (p *pipeline) message(n int) []byte {
	text := fmt.Appendf(nil, `{"n":%d`, n)
	const frame = `,"pad":""}`
	if short := p.cfg.value - len(text) - len(frame); short > 0 {
		text = fmt.Appendf(text, `,"pad":"%s"`, strings.Repeat("x", short))
	}
	return append(text, '}')
}

// settle waits until everything sent is committed and its records are read, each
// once.
func (p *pipeline) settle(ctx context.Context) error {
	if err := p.awaitCommitted(ctx); err != nil {
		return err
	}
	return p.verify(ctx, 0)
}

// verify reads the records of what was sent since message from.
func (p *pipeline) verify(ctx context.Context, from int) error {
	return p.reader.all(ctx, p.cfg.plan.Number(from, 0), p.cfg.plan.Number(p.sent, 0))
}

// awaitCommitted waits until everything sent is committed.
func (p *pipeline) awaitCommitted(ctx context.Context) error {
	began := time.Now()
	last, moved := -1, began
	for {
		// A broker that has just started refuses for a moment.
		sum, err := committed(p.offsets, p.source, partitions)
		switch {
		case err == nil && sum >= p.sent:
			return nil
		case err == nil && sum != last:
			last, moved = sum, time.Now()
		case time.Since(moved) > patience:
			return errors.Join(fmt.Errorf("pipeline %s: %d of %d messages are committed, and none for %s", p.cfg.name, last, p.sent, patience), err)
		}
		for _, m := range p.members {
			if err := m.Alive(); err != nil {
				return err
			}
		}
		if !pause(ctx, untilNext(time.Since(began))) {
			return context.Cause(ctx)
		}
	}
}

// untilNext is when to ask for offsets again, after so long. Asking costs the
// broker CPU that is measured, so it is done the more seldom the longer a run
// takes: how long it took is known to a hundredth. What is left cannot be
// reckoned, since offsets move by whole windows.
func untilNext(took time.Duration) time.Duration {
	return min(max(took/100, committedEvery), time.Second)
}

// burst sends messages at once and measures until the last is committed.
func (p *pipeline) burst(ctx context.Context, count int) (sample, error) {
	before, err := p.usage()
	if err != nil {
		return sample{}, err
	}
	from, began := p.sent, time.Now()
	if err := p.send(ctx, count); err != nil {
		return sample{}, err
	}
	if err := p.awaitCommitted(ctx); err != nil {
		return sample{}, err
	}
	took := time.Since(began)
	after, err := p.usage()
	if err != nil {
		return sample{}, err
	}
	tasks := float64(count * p.cfg.plan.PerMessage())
	s := sample{rate: tasks / took.Seconds(), figures: after.per(before, tasks)}
	return s, p.verify(ctx, from)
}

// usage is the CPU time of a pipeline's processes and of the services.
type usage struct{ ingest, executors, server, kafka cpu }

func (p *pipeline) usage() (u usage, err error) {
	read := func(pid int) cpu {
		if pid == 0 || err != nil {
			return cpu{}
		}
		var c cpu
		c, err = readCPU(pid)
		return c
	}
	u = usage{ingest: read(p.members[0].PID()), server: read(p.world.serverPID), kafka: read(p.world.kafkaPID)}
	for _, m := range p.members[1:] {
		c := read(m.PID())
		u.executors.own += c.own
		u.executors.children += c.children
	}
	return u, err
}

// per is the CPU time since before, in milliseconds for each of n.
func (u usage) per(before usage, n float64) map[string]float64 {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / n }
	return map[string]float64{
		"ingest_cpu_ms":   ms(u.ingest.less(before.ingest).own),
		"executor_cpu_ms": ms(u.executors.less(before.executors).own),
		"programs_cpu_ms": ms(u.executors.less(before.executors).children),
		"server_cpu_ms":   ms(u.server.less(before.server).own),
		"kafka_cpu_ms":    ms(u.kafka.less(before.kafka).own),
	}
}

// close ends the processes and removes the topics.
func (p *pipeline) close(ctx context.Context) error {
	var errs []error
	for _, m := range slices.Backward(p.members) {
		errs = append(errs, m.Stop())
	}
	p.members = nil
	errs = append(errs, p.reader.close(), p.offsets.Close())
	return errors.Join(append(errs, p.world.broker.remove(ctx, p.source, p.results, p.letters()))...)
}
