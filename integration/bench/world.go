package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/drakkar-go/drakkar/integration/services"
)

// programs are what is built before anything is measured, by name.
var programs = map[string]string{
	"ingest":   "github.com/drakkar-go/drakkar/cmd/ingest",
	"executor": "github.com/drakkar-go/drakkar/integration/bench/executor",
	"task":     "github.com/drakkar-go/drakkar/integration/bench/task",
}

// world is the services and programs that all rows share.
type world struct {
	dir     string
	profile string // where profiles go; empty makes none
	tell    func(format string, args ...any)

	broker              *broker
	temporal, namespace string
	kafkaPID, serverPID int // 0 for somebody else's
	ends                []func() error
	pipelines           map[string]*pipeline // those that run, by name
}

// openWorld builds the programs and starts services, unless o names others.
func openWorld(ctx context.Context, o options, dir string, tell func(string, ...any)) (w *world, err error) {
	w = &world{
		dir: dir, profile: o.profile, tell: tell, temporal: o.temporal, namespace: o.namespace,
		pipelines: map[string]*pipeline{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	dirs := []string{w.path("bin"), w.path("logs"), w.path("blobs")}
	if w.profile != "" {
		dirs = append(dirs, w.profile)
	}
	for _, name := range dirs {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return w, fmt.Errorf("making %s: %w", name, err)
		}
	}
	if err := w.build(ctx); err != nil {
		return w, err
	}
	kafka, err := w.startServices(ctx, o)
	if err != nil {
		return w, err
	}
	if w.broker, err = openBroker(kafka); err != nil {
		return w, err
	}
	w.ends = append(w.ends, func() error { w.broker.close(); return nil })
	return w, nil
}

func (w *world) path(names ...string) string {
	return filepath.Join(append([]string{w.dir}, names...)...)
}

func (w *world) bin(name string) string { return w.path("bin", name) }

func (w *world) build(ctx context.Context) error {
	w.tell("building ingest, the executor and the task program")
	for name, pkg := range programs {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", w.bin(name), pkg)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, text)
		}
	}
	return nil
}

// startServices starts those that o does not name, and returns the broker's
// address.
func (w *world) startServices(ctx context.Context, o options) (kafka string, err error) {
	home, err := services.NewHome(func(m string) { w.tell("%s", m) })
	if err != nil {
		return "", err
	}
	if kafka = o.kafka; kafka == "" {
		w.tell("starting Kafka")
		k, err := services.StartKafka(ctx, services.KafkaConfig{Home: home, Dir: w.path("kafka")})
		if err != nil {
			return "", err
		}
		kafka, w.kafkaPID = k.Addr(), k.PID()
		w.ends = append(w.ends, k.Stop)
	}
	if w.temporal == "" {
		w.tell("starting Temporal")
		t, err := services.StartTemporal(ctx, services.TemporalConfig{Home: home, Dir: w.path("temporal"), DynamicConfig: o.server})
		if err != nil {
			return "", err
		}
		w.temporal, w.namespace, w.serverPID = t.Addr(), t.Namespace(), t.PID()
		w.ends = append(w.ends, t.Stop)
	}
	return kafka, nil
}

// close ends everything, the last first.
func (w *world) close() error {
	err := w.stopPipelines(context.Background())
	for _, end := range slices.Backward(w.ends) {
		err = errors.Join(err, end())
	}
	w.ends = nil
	return err
}

// open returns the pipeline of that name, and starts it when it does not run.
func (w *world) open(ctx context.Context, cfg pipelineConfig) (*pipeline, error) {
	if p, ok := w.pipelines[cfg.name]; ok {
		return p, nil
	}
	p, err := newPipeline(ctx, w, cfg)
	if err != nil {
		return nil, err
	}
	w.pipelines[cfg.name] = p
	if cfg.later {
		return p, nil
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	return p, p.warmUp(ctx)
}

// stopPipelines ends the pipelines and removes their topics.
func (w *world) stopPipelines(ctx context.Context) error {
	var errs []error
	for name, p := range w.pipelines {
		errs = append(errs, p.close(ctx))
		delete(w.pipelines, name)
	}
	return errors.Join(errs...)
}

// pids are all processes of the bench, but itself.
func (w *world) pids() []int {
	var out []int
	for _, pid := range []int{w.kafkaPID, w.serverPID} {
		if pid != 0 {
			out = append(out, pid)
		}
	}
	for _, p := range w.pipelines {
		for _, m := range p.members {
			out = append(out, m.PID())
		}
	}
	return out
}
