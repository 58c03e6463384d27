// Package chaos runs a whole pipeline on a real Kafka and Temporal, breaks it at
// random moments, and proves from what is left behind that nothing was lost and
// nothing that had finished was done again.
//
// A round sends numbered messages to several ingests and executors, which are
// processes of their own. The task of each message logs when it began and ended
// and delivers its number to an output topic and to stores whose key is the
// delivery id. Meanwhile processes and services are killed, stopped and started,
// see [fault]. The seed of a round decides which faults come when and how long
// each task takes; what the machine makes of it differs from run to run.
//
// The round ends with one line of JSON, see [Report], computed from the tasks'
// log, the topics, the stores and the broker's log of commits alone. The
// pipeline is not asked.
package chaos

import (
	"context"
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

	"github.com/drakkar-go/drakkar/integration/services"
)

// options are the command's flags.
type options struct {
	rounds     int
	seed       uint64
	messages   int
	partitions int
	ingests    int
	executors  int
	slots      int
	rate       float64
	moments    int
	faults     []fault
	patience   time.Duration
	unrecorded time.Duration
	dir        string
	keep       bool
	timeLost   bool
}

func parse(args []string, errOut io.Writer) (options, error) {
	o := options{faults: faults}
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.IntVar(&o.rounds, "rounds", 1, "rounds to run, each with the next seed")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the first round")
	f.IntVar(&o.messages, "messages", 20000, "messages of a round")
	f.IntVar(&o.partitions, "partitions", 12, "partitions of the source topic")
	f.IntVar(&o.ingests, "ingests", 2, "ingest processes")
	f.IntVar(&o.executors, "executors", 3, "executor processes")
	f.IntVar(&o.slots, "slots", 8, "programs at the same time in each executor")
	f.Float64Var(&o.rate, "rate", 100, "messages a second")
	f.IntVar(&o.moments, "moments", 15, "faults of a round, at least one of each kind")
	f.Func("faults", "kinds of faults, comma separated (default: all): "+names(faults), func(text string) (err error) {
		o.faults, err = parseFaults(text)
		return err
	})
	f.DurationVar(&o.patience, "patience", 3*time.Minute, "give a round up when no offset is committed for this long")
	f.DurationVar(&o.unrecorded, "unrecorded", 2*time.Second,
		"how long before its executor's death a task may have ended and yet run again; heartbeats that tell of it are sent each second")
	f.StringVar(&o.dir, "dir", os.TempDir(), "where the directories of rounds are made")
	f.BoolVar(&o.keep, "keep", false, "keep the directory of a round that passed, too")
	f.BoolVar(&o.timeLost, "time-lost", false, "measure instead how long a killed process is missed")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag", f.Arg(0))
	}
	return o, o.check()
}

func (o options) check() error {
	for name, n := range map[string]int{
		"rounds": o.rounds, "messages": o.messages, "partitions": o.partitions,
		"ingests": o.ingests, "executors": o.executors, "slots": o.slots,
	} {
		if n < 1 {
			return fmt.Errorf("-%s is %d, the least is 1", name, n)
		}
	}
	if o.rate <= 0 {
		return fmt.Errorf("-rate is %v, it must be above 0", o.rate)
	}
	return nil
}

func parseFaults(text string) ([]fault, error) {
	var out []fault
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name == "" || name == "none" {
			continue
		}
		if !slices.Contains(faults, fault(name)) {
			return nil, fmt.Errorf("there is no fault %q, there are %s", name, names(faults))
		}
		out = append(out, fault(name))
	}
	return out, nil
}

func names(kinds []fault) string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = string(k)
	}
	return strings.Join(out, ", ")
}

// Command runs the rounds that args ask for and returns the exit code: 1 when a
// bar was missed or a round could not be run, 2 for wrong flags. The lines of
// the rounds go to out, everything else to errOut.
func Command(args []string, out, errOut io.Writer) int {
	o, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errOut, "chaos:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, out, errOut); err != nil {
		fmt.Fprintln(errOut, "chaos:", err)
		return 1
	}
	return 0
}

// run runs all rounds, also behind one that missed a bar.
func run(ctx context.Context, o options, out, errOut io.Writer) error {
	tell := func(text string) { fmt.Fprintln(errOut, text) }
	if err := os.MkdirAll(o.dir, 0o750); err != nil {
		return fmt.Errorf("making -dir: %w", err)
	}
	if o.timeLost {
		return measureTimeLost(ctx, o, out, tell)
	}
	var errs []error
	for i := range o.rounds {
		err := oneRound(ctx, o, o.seed+uint64(i), out, tell)
		if ctx.Err() != nil {
			return errors.Join(append(errs, errors.New("interrupted"))...)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("seed %d: %w", o.seed+uint64(i), err))
		}
	}
	return errors.Join(errs...)
}

// oneRound runs a round on services of its own and prints its line.
func oneRound(ctx context.Context, o options, seed uint64, out io.Writer, tell func(string)) (err error) {
	dir, err := os.MkdirTemp(o.dir, fmt.Sprintf("chaos-%d-", seed))
	if err != nil {
		return fmt.Errorf("making the directory of the round: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	defer func() { err = o.leave(dir, err) }()
	w, err := openWorld(ctx, dir, tell)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	report, err := runRound(ctx, roundConfig{options: o, seed: seed, dir: dir, world: w, tell: tell})
	if err != nil {
		return err
	}
	text, err := line(report)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, text)
	if missed := report.Missed(); len(missed) > 0 {
		return errors.New(strings.Join(missed, "; "))
	}
	return nil
}

// leave removes the directory of a round that passed, or says where that of
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

// openWorld starts services whose data are below dir.
func openWorld(ctx context.Context, dir string, tell func(string)) (*world, error) {
	home, err := services.NewHome(tell)
	if err != nil {
		return nil, err
	}
	return startWorld(ctx, home, dir)
}
