// Package bench measures a whole pipeline on a real Kafka and Temporal against
// what the machine can do without it.
//
// The pipeline is the shipped ingest and an executor with the handler of package
// handler, as processes of their own with default settings. What it is compared
// with, a bare loop of os/exec for instance, takes turns with it on the same
// cores, while broker and server run: so what else the machine does disturbs
// both. Every figure is read from the output topic, the committed offsets, /proc
// and Temporal's own records; the pipeline is not asked.
package bench

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
	"strings"
	"syscall"
	"time"
)

// messagesDefault is what the sizes of experiments belong to.
const messagesDefault = 10_000

// options are the command's flags.
type options struct {
	only      []string
	rounds    int
	messages  int
	json      bool
	strict    bool
	release   string
	results   string
	profile   string
	kafka     string
	temporal  string
	namespace string
	server    map[string]string // dynamic configuration of the Temporal that is started
	dir       string
	keep      bool
}

func parse(args []string, errOut io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.Func("only", "rows to measure, comma separated (default: all): "+strings.Join(rowNames(), ", "), func(text string) (err error) {
		o.only, err = parseRows(text)
		return err
	})
	f.IntVar(&o.rounds, "rounds", 5, "rounds of each row; those that take minutes have fewer")
	f.IntVar(&o.messages, "messages", messagesDefault, "messages of the spawn row; the sizes of all others go with it")
	f.BoolVar(&o.json, "json", false, "print the rows as one JSON object in the last line")
	f.BoolVar(&o.strict, "strict", false, "exit with 1 when a bar is missed")
	f.StringVar(&o.release, "release", "", "append a line with this name and the date to the results that are kept")
	f.StringVar(&o.results, "results", filepath.Join("integration", "bench", "results"), "directory of the results that are kept")
	f.StringVar(&o.profile, "profile", "", "directory for CPU profiles of ingest and executors")
	f.StringVar(&o.kafka, "kafka", "", "use the Kafka at HOST:PORT instead of starting one")
	f.StringVar(&o.temporal, "temporal", "", "use the Temporal at HOST:PORT instead of starting one; its CPU is not told then")
	f.StringVar(&o.namespace, "namespace", "default", "namespace, with -temporal")
	f.Func("server-setting", "NAME=VALUE of the dynamic configuration of the Temporal that is started; repeat it for more", o.addServerSetting)
	f.StringVar(&o.dir, "dir", os.TempDir(), "where the directory of the run is made")
	f.BoolVar(&o.keep, "keep", false, "keep the directory of the run, with its logs")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("%q is no flag", f.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("-rounds is %d, the least is 1", o.rounds)
	case o.temporal != "" && len(o.server) > 0:
		return o, errors.New("-server-setting is for the Temporal that is started, not for the one at -temporal")
	case o.messages < 1:
		return o, fmt.Errorf("-messages is %d, the least is 1", o.messages)
	}
	return o, nil
}

func (o *options) addServerSetting(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not NAME=VALUE", text)
	}
	if o.server == nil {
		o.server = map[string]string{}
	}
	o.server[name] = value
	return nil
}

// rowNames are the names of all rows, in the order of the table.
func rowNames() []string {
	var out []string
	for _, e := range experiments(&world{}) {
		for _, r := range e.rows {
			out = append(out, r.name)
		}
	}
	return out
}

func parseRows(text string) ([]string, error) {
	known := rowNames()
	var out []string
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no row %q, there are %s", name, strings.Join(known, ", "))
		}
		out = append(out, name)
	}
	return out, nil
}

// wants reports whether a row was asked for.
func (o options) wants(r row) bool { return len(o.only) == 0 || slices.Contains(o.only, r.name) }

// Command measures the rows that args ask for and returns the exit code: 1 when
// something could not be measured or, with -strict, when a bar was missed; 2 for
// wrong flags. The table goes to out, everything else to errOut.
func Command(args []string, out, errOut io.Writer) int {
	o, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What could be measured is told, also when another row could not be.
	results, err := run(ctx, o, func(format string, args ...any) { fmt.Fprintf(errOut, format+"\n", args...) })
	if len(results) > 0 {
		err = errors.Join(err, o.print(out, results))
	}
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return 1
	}
	if o.strict && slices.ContainsFunc(results, func(r result) bool { return len(r.missed()) > 0 }) {
		return 1
	}
	return 0
}

// print writes the table, the JSON, and the line that is kept.
func (o options) print(out io.Writer, results []result) error {
	if err := table(out, results); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	if o.release != "" {
		if err := keep(o.results, o.release, o, results); err != nil {
			return err
		}
	}
	if !o.json {
		return nil
	}
	line, err := json.Marshal(object(results))
	if err != nil {
		return fmt.Errorf("encoding the rows: %w", err)
	}
	fmt.Fprintln(out, string(line))
	return nil
}

// run measures on services that live as long as it. A row that cannot be
// measured does not keep the others from it.
func run(ctx context.Context, o options, tell func(string, ...any)) (results []result, err error) {
	dir, err := os.MkdirTemp(o.dir, "bench-")
	if err != nil {
		return nil, fmt.Errorf("making the directory of the run: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	defer func() { err = o.leave(dir, err) }()
	w, err := openWorld(ctx, o, dir, tell)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var errs []error
	for _, e := range experiments(w) {
		if ctx.Err() != nil || !slices.ContainsFunc(e.rows, o.wants) {
			continue
		}
		measured, err := w.measure(ctx, o, e)
		errs = append(errs, err, w.stopPipelines(context.WithoutCancel(ctx)))
		results = append(results, measured...)
	}
	return results, errors.Join(errs...)
}

// leave removes the directory of a run that went well, or says where that of
// another is.
func (o options) leave(dir string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%w (logs are in %s)", err, dir)
	case o.keep:
		return nil
	default:
		return os.RemoveAll(dir)
	}
}

// measure runs an experiment: in each round every arm once, each time another
// one first.
func (w *world) measure(ctx context.Context, o options, e experiment) ([]result, error) {
	size := max(1, e.size*o.messages/messagesDefault)
	n := o.rounds
	if e.rounds > 0 {
		n = min(n, e.rounds)
	}
	var all rounds
	var others []float64
	for i := range n {
		round := map[string]sample{}
		for k := range e.arms {
			a := e.arms[(i+k)%len(e.arms)]
			s, foreign, err := w.watched(ctx, a, size)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", e.rows[0].name, a.name, err)
			}
			w.tell("%s %d/%d, %s: %s/s, %.1f cores were busy with other things", e.rows[0].name, i+1, n, a.name, short(s.rate), foreign)
			round[a.name] = s
			others = append(others, foreign)
		}
		all = append(all, round)
	}
	var results []result
	for _, r := range e.rows {
		if o.wants(r) {
			results = append(results, result{row: r, figures: r.judge(all), rounds: n, others: mean(others)})
		}
	}
	return results, nil
}

// watched runs an arm and tells how many cores others kept busy meanwhile.
func (w *world) watched(ctx context.Context, a arm, size int) (s sample, others float64, err error) {
	began := time.Now()
	before, err := w.foreign()
	if err != nil {
		return s, 0, err
	}
	if s, err = a.run(ctx, w, size); err != nil {
		return s, 0, err
	}
	after, err := w.foreign()
	return s, max(0, (after-before).Seconds()/time.Since(began).Seconds()), err
}

// foreign is the CPU time that the machine gave to others up to now. A process
// of ours that ends hands its time to this one.
func (w *world) foreign() (time.Duration, error) {
	busy, err := readBusy()
	for _, pid := range append(w.pids(), os.Getpid()) {
		var c cpu
		if err == nil {
			c, err = readCPU(pid)
		}
		busy -= c.sum()
	}
	return busy, err
}
