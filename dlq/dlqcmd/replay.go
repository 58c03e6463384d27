package dlqcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/dlq/replay"
	"github.com/drakkar-go/drakkar/sinks"
)

// closeTime is what sinks have to end after a replay.
const closeTime = 10 * time.Second

func (c *command) replay(ctx context.Context, args []string) (code int, err error) {
	if err := c.parseReplay(args); err != nil {
		return 0, err
	}
	if c.o.state, err = c.stateDir(); err != nil {
		return 0, err
	}
	q, err := c.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = q.Close() }()
	target, err := c.target()
	if err != nil {
		return 0, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if closeErr := target.Close(ctx); closeErr != nil && err == nil {
			c.warn(closeErr) // what counts as replayed has been acknowledged
		}
	}()
	bar := newBar(c.env.ErrOut)
	report, err := replay.Run(ctx, replay.Options{
		Queue: q, Selection: c.o.selection, Target: target, Dir: c.o.state, Rate: c.o.rate, Limit: c.o.limit,
		Patience: c.o.patience, DryRun: c.o.dryRun, Restart: c.o.restart,
		Progress: bar.show, Each: func(l replay.AuditLine) { c.each(bar, l) },
	})
	bar.clear()
	if err := errors.Join(err, c.report(report)); err != nil {
		return 0, err
	}
	if report.Left() {
		return ExitLeft, nil
	}
	return ExitOK, nil
}

func (c *command) parseReplay(args []string) error {
	f := newFlags("replay", &c.o)
	c.o.selecting(f, c.now)
	f.Func("format", "", oneOf(&c.o.format, "text", "json"))
	f.IntVar(&c.o.limit, "limit", 0, "")
	f.StringVar(&c.o.to, "to", "", "")
	f.StringVar(&c.o.state, "state", "", "")
	f.Float64Var(&c.o.rate, "rate", 0, "")
	f.DurationVar(&c.o.patience, "patience", 5*time.Minute, "")
	f.BoolVar(&c.o.dryRun, "dry-run", false, "")
	f.BoolVar(&c.o.restart, "restart", false, "")
	if err := c.parse(f, args); err != nil {
		return err
	}
	topic, isTopic := strings.CutPrefix(c.o.to, "topic:")
	switch {
	case len(c.args) > 0:
		return fmt.Errorf("%w: replay takes no argument %q; -id ID names a dead letter", errUsage, c.args[0])
	case c.o.to != "sink" && c.o.to != "source" && (!isTopic || topic == ""):
		return fmt.Errorf("%w: -to is %q, want sink, source or topic:NAME", errUsage, c.o.to)
	case math.IsNaN(c.o.rate) || math.IsInf(c.o.rate, 0):
		return fmt.Errorf("%w: -rate is %v, want a number; 0 sets no limit", errUsage, c.o.rate)
	case c.o.rate < 0 || c.o.limit < 0 || c.o.patience <= 0:
		return fmt.Errorf("%w: -rate and -limit cannot be negative, and -patience must be more than 0s", errUsage)
	case c.o.relative != "" && !c.o.dryRun:
		return fmt.Errorf("%w: %s", errUsage, c.o.relative)
	}
	return nil
}

// stateDir is where checkpoints and the audit are kept.
func (c *command) stateDir() (string, error) {
	if c.o.state != "" {
		return c.o.state, nil
	}
	environ := map[string]string{}
	for _, kv := range c.env.Environ {
		name, value, _ := strings.Cut(kv, "=")
		environ[name] = value
	}
	base := environ["XDG_STATE_HOME"]
	if home := environ["HOME"]; base == "" && home != "" {
		base = filepath.Join(home, ".local", "state")
	}
	if !filepath.IsAbs(base) {
		return "", errors.New("there is neither XDG_STATE_HOME nor HOME to keep the checkpoint below: pass -state DIR")
	}
	return filepath.Join(base, "drakkar", "dlq"), nil
}

func (c *command) target() (*replay.Target, error) {
	switch c.o.to {
	case "sink":
		return replay.ToSink(replay.Sinks{
			Configured: func(ref sinks.Ref) bool { return configured(c.cfg.Sinks, ref) },
			Open:       func(ctx context.Context, ref sinks.Ref) (*sinks.Set, error) { return c.env.OpenSink(ctx, c.cfg, ref) },
		}), nil
	case "source":
		return replay.ToSource(c.cfg.Kafka), nil
	}
	topic := strings.TrimPrefix(c.o.to, "topic:")
	if dlq.IsQueue(c.cfg.DLQ, c.cfg.Kafka, topic) {
		return nil, fmt.Errorf("topic %s is a dead letter queue itself", topic)
	}
	return replay.ToTopic(topic, c.cfg.Kafka), nil
}

// configured reports whether the settings name the sink.
func configured(s config.Sinks, ref sinks.Ref) bool {
	var ok bool
	switch ref.Type {
	case sinks.Kafka:
		_, ok = s.Kafka[ref.Name]
	case sinks.Postgres:
		_, ok = s.Postgres[ref.Name]
	case sinks.Mongo:
		_, ok = s.Mongo[ref.Name]
	case sinks.HTTP:
		_, ok = s.HTTP[ref.Name]
	case sinks.Redis:
		_, ok = s.Redis[ref.Name]
	case sinks.Filesystem:
		_, ok = s.Filesystem[ref.Name]
	case sinks.Custom:
		_, ok = s.Custom[ref.Name]
	}
	return ok
}

// each tells of one dead letter: of all in a dry run, else of those that are
// left.
func (c *command) each(b *bar, l replay.AuditLine) {
	out := c.env.ErrOut
	switch l.Outcome {
	case replay.Planned, replay.Double:
		if !c.o.dryRun {
			return
		}
		out = c.env.Out
	case replay.Replayed:
		return
	}
	b.clear()
	line := fmt.Sprintf("%s %s %s to %s", l.Outcome, l.At, l.ID, c.o.to)
	if l.Sink != "" && c.o.to == "sink" {
		line += " " + l.Sink
	}
	if l.Error != "" {
		line += ": " + l.Error
	}
	fmt.Fprintln(out, printable(line))
}

func (c *command) report(r replay.Report) error {
	if c.o.format == "json" {
		if err := json.NewEncoder(c.env.Out).Encode(r); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		return nil
	}
	verb := "replayed"
	if c.o.dryRun {
		verb = "would replay"
	}
	fmt.Fprintf(c.env.Out, "%s %d of %d selected dead letters to %s: %d of them in earlier runs, %d refused, %d failed, %d doubles; "+
		"%d records are no dead letters\n", verb, r.Replayed, r.Selected, c.o.to, r.Earlier, r.Refused, r.Failed, r.Doubles, r.Unreadable)
	if !c.o.dryRun {
		fmt.Fprintln(c.env.Out, "audit:", filepath.Join(c.o.state, replay.AuditFile))
	}
	if !r.Complete {
		fmt.Fprintln(c.env.Out, "the end of the queue is not reached: the same command goes on from here")
	}
	return nil
}
