// Package demo shows the whole product at work on real input: it starts an
// embedded Kafka, a Temporal server with its web UI, ingest and two executors
// as processes of their own, sends them search requests over Go's own source
// tree, and reads back what became of them.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// options are the demo's flags.
type options struct {
	messages   int
	exit       bool
	rate       float64
	latency    int
	partitions int
	executors  int
	slots      int
	kafka      string
	temporal   string
	namespace  string
	dir        string
	timeout    time.Duration
}

func parse(args []string, errOut io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("drakkar demo", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.IntVar(&o.messages, "messages", 0, "how many requests to send; 0 sends until Ctrl-C")
	f.BoolVar(&o.exit, "exit", false, "end once every request is committed, with one JSON object as the last line")
	f.Float64Var(&o.rate, "rate", 0, "requests a second; 0 is 20 without -messages and as fast as possible with it")
	f.IntVar(&o.latency, "latency", 0, "send this many single requests into the idle system, time each, and end")
	f.IntVar(&o.partitions, "partitions", 8, "partitions of the topics")
	f.IntVar(&o.executors, "executors", 2, "executor processes")
	f.IntVar(&o.slots, "slots", 4, "programs at the same time in each of them")
	f.StringVar(&o.kafka, "kafka", "", "use the Kafka at HOST:PORT instead of an embedded one")
	f.StringVar(&o.temporal, "temporal", "", "use the Temporal at HOST:PORT instead of starting one")
	f.StringVar(&o.namespace, "namespace", "default", "namespace, with -temporal")
	f.StringVar(&o.dir, "dir", "", "where settings, logs and results go (default: a temporary directory)")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "with -exit, give up after this long")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.exit && o.messages == 0 && o.latency == 0 {
		return o, errors.New("-exit needs -messages: without it there is no end")
	}
	if o.rate == 0 && o.messages == 0 {
		o.rate = 20
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "drakkar-demo-")
		if err != nil {
			return o, fmt.Errorf("making the demo's directory: %w", err)
		}
		o.dir = dir
	}
	var err error
	o.dir, err = filepath.Abs(o.dir)
	return o, err
}

// Command runs the demo and returns the exit code: 1 when something was lost,
// doubled or not committed, or could not be started.
func Command(args []string, out, errOut io.Writer) int {
	o, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errOut, "drakkar demo:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{o: o, out: out, run: "run-" + strconv.FormatInt(time.Now().UnixNano(), 36), ledger: newLedger()}
	report, err := d.do(ctx)
	if endErr := d.end(); endErr != nil {
		err = errors.Join(err, endErr)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(errOut, "drakkar demo:", err)
		fmt.Fprintln(errOut, "drakkar demo: logs are in", filepath.Join(o.dir, "logs"))
		return 1
	}
	if !o.exit && o.latency == 0 {
		return 0
	}
	line, err := json.Marshal(report)
	if err != nil {
		fmt.Fprintln(errOut, "drakkar demo:", err)
		return 1
	}
	fmt.Fprintln(out, string(line))
	if !report.OK() {
		return 1
	}
	return 0
}

// demo is one run.
type demo struct {
	o      options
	out    io.Writer
	run    string
	ledger *ledger
	broker *broker
	world  world
}

// do starts everything, sends, and waits for the end.
func (d *demo) do(ctx context.Context) (Report, error) {
	if err := d.start(ctx); err != nil {
		return Report{}, err
	}
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	read := make(chan error, 1)
	go func() { read <- d.broker.read(reading) }()

	var latencies []time.Duration
	sent := make(chan error, 1)
	go func() {
		var err error
		if d.o.latency > 0 {
			latencies, err = d.probe(ctx)
		} else {
			err = d.send(ctx)
		}
		sent <- err
	}()
	report, err := d.watch(ctx, sent)
	stopReading()
	if readErr := <-read; err == nil {
		err = readErr
	}
	if len(latencies) > 0 {
		slices.Sort(latencies)
		report.LatencyMedian = milliseconds(latencies[len(latencies)/2])
		report.LatencyWorst = milliseconds(latencies[len(latencies)-1])
	}
	return report, err
}

func milliseconds(d time.Duration) *float64 {
	ms := float64(d.Microseconds()) / 1000
	return &ms
}

// send sends the requests, at their rate.
func (d *demo) send(ctx context.Context) error {
	reqs, err := d.requests()
	if err != nil {
		return err
	}
	var pace <-chan time.Time
	if d.o.rate > 0 {
		tick := time.NewTicker(time.Duration(float64(time.Second) / d.o.rate))
		defer tick.Stop()
		pace = tick.C
	}
	for n := 0; d.o.messages == 0 || n < d.o.messages; n++ {
		if pace != nil {
			select {
			case <-pace:
			case <-ctx.Done():
				return nil
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if _, err := d.sendOne(reqs, n); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) requests() (*requests, error) {
	root, err := goRoot(d.world.goroot)
	if err != nil {
		return nil, err
	}
	return newRequests(d.run, root)
}

func (d *demo) sendOne(reqs *requests, n int) (request, error) {
	req, value, err := reqs.next(n)
	if err != nil {
		return req, err
	}
	d.ledger.ask(req)
	return req, d.broker.send(req.RequestID, value)
}

// probe sends single requests into the idle system and times each, from its
// sending to the reading of its first answer.
func (d *demo) probe(ctx context.Context) ([]time.Duration, error) {
	reqs, err := d.requests()
	if err != nil {
		return nil, err
	}
	var out []time.Duration
	for n := range d.o.latency + warmUps {
		req, value, err := reqs.next(n)
		if err != nil {
			return nil, err
		}
		d.ledger.ask(req)
		came := d.ledger.await(req.RequestID)
		began := time.Now()
		if err := d.broker.send(req.RequestID, value); err != nil {
			return nil, err
		}
		select {
		case at := <-came:
			if n >= warmUps {
				out = append(out, at.Sub(began))
			}
		case <-ctx.Done():
			return nil, nil
		}
		if !pause(ctx, probePause) {
			return nil, nil
		}
	}
	return out, nil
}

const (
	// warmUps are single requests that are not timed.
	warmUps = 5
	// probePause leaves the system idle between single requests.
	probePause = 300 * time.Millisecond
)

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// watch prints the live line, and returns when everything is committed, with
// -exit, or when ctx ends.
func (d *demo) watch(ctx context.Context, sent <-chan error) (Report, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	deadline := time.Now().Add(d.o.timeout)
	done := false
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(d.out)
			return d.ledger.report(0), nil
		case err := <-sent:
			if err != nil {
				return Report{}, err
			}
			done = true
			continue
		case <-tick.C:
		}
		if err := d.world.alive(); err != nil {
			return Report{}, err
		}
		committed, err := d.broker.committed(ctx)
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(d.out, "\nreading offsets:", err)
			continue
		}
		report := d.ledger.report(committed)
		d.line(report)
		ends := d.o.exit || d.o.latency > 0
		if ends && done && committed == int64(report.Messages) {
			return d.settle(ctx, committed), nil
		}
		if ends && time.Now().After(deadline) {
			fmt.Fprintln(d.out, "\ngiving up: not everything was committed within", d.o.timeout)
			return report, nil
		}
	}
}

// settle gives records that are on the topic, but not read yet, time to come.
func (d *demo) settle(ctx context.Context, committed int64) Report {
	report := d.ledger.report(committed)
	for range 10 {
		before := d.ledger.report(committed)
		pause(ctx, 200*time.Millisecond)
		after := d.ledger.report(committed)
		if after.Lost == 0 && after.Delivered == before.Delivered {
			break
		}
	}
	final := d.ledger.report(committed)
	final.Seconds, final.MessagesPerSecond = report.Seconds, report.MessagesPerSecond
	fmt.Fprintln(d.out)
	return final
}

// line prints the counts over the last ones.
func (d *demo) line(r Report) {
	text := fmt.Sprintf("sent %d, answers %d, committed %d, dead letters %d, duplicates %d, %.0f messages/s",
		r.Messages, r.Delivered, r.Committed, r.DeadLettered, r.Duplicates, r.MessagesPerSecond)
	if f, ok := d.out.(*os.File); ok && isTerminal(f) {
		fmt.Fprintf(d.out, "\r%-100s", text)
		return
	}
	fmt.Fprintln(d.out, text)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
