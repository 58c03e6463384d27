// Package dlqcmd is the command "drakkar dlq": it lists, shows and replays dead
// letters.
package dlqcmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/sinks"
)

// Exit codes of [Command].
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
	// ExitLeft is a command that did what it could: a replay that was stopped or
	// reached its limit, dead letters that were refused, records that are none.
	ExitLeft = 3
	// ExitKilled is a second signal while the command was stopping.
	ExitKilled = 130
)

const usage = `usage:
  drakkar dlq list [flags]                  dead letters, one a line
  drakkar dlq show [flags] POSITION|ID...   dead letters with all they hold, as JSON
  drakkar dlq replay -to TARGET [flags]     plays dead letters again

The queue is read from its start to the end it has when the command begins.
Nothing is ever removed from it.

flags of all:
  -config FILE      the settings (default: the file that DRAKKAR_CONFIG names)
  -dir DIR          read the files in DIR instead of the queue of the settings
  -timeout TIME     how long brokers may say nothing (default 30s)

which dead letters, for list and replay; lists have commas, what repeats adds up:
  -id ID            the one with this id
  -kind LIST        message, task, payload
  -class LIST       parse, arrange, hook, task, permanent, exhausted, ...
  -sink LIST        payloads for these sinks: type:name, or the name
  -topic LIST       source topics
  -partition LIST   partitions of the source
  -since TIME       written at or after: 2006-01-02T15:04:05Z, 2006-01-02,
                    or how long ago, as in 24h (not for replay)
  -until TIME       written before
  -text TEXT        these characters are in the id, error, key, value, headers, the
                    payload, or the task's arguments, stdin or output

list:
  -format FORMAT    table (default) or json, one object a line
  -limit N          end after N; 0 (default) lists all

replay:
  -to TARGET        sink: the payload to the sink it failed at, under the same id
                    source: the message to the topic and partition it came from
                    topic:NAME: the message to another topic on kafka.brokers
  -dry-run          tell what would be done, and do nothing
  -rate N           at most N a second; 0 (default) sets no limit
  -limit N          end after N; the same command goes on behind them
  -patience TIME    how long a target that fails for now is tried (default 5m)
  -state DIR        checkpoints and audit.jsonl
                    (default: drakkar/dlq below XDG_STATE_HOME or ~/.local/state)
  -restart          begin at the start of the queue, whatever the checkpoint says
  -format FORMAT    text (default) or json, for the report

exit codes:
  0   done, and nothing is left
  1   it could not be done: settings, brokers, a target that stays away
  2   the command line is wrong
  3   done in part: stopped by a signal or -limit, dead letters that cannot be
      replayed or were refused, records in the queue that are no dead letters
  130 ended at once by a second signal; a replay can be resumed all the same
`

// Env is what a command is given by its process.
type Env struct {
	Environ     []string
	Out, ErrOut io.Writer

	// OpenSink opens one sink of the settings.
	OpenSink func(context.Context, *config.Config, sinks.Ref) (*sinks.Set, error)
}

// Command runs "dlq" of the operator's tool; args are those after it. It
// returns the exit code. The first SIGINT or SIGTERM ends it in order, a second
// one at once.
func Command(args []string, env Env) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			cancel(errSignal)
		case <-ctx.Done():
			return
		}
		<-signals
		os.Exit(ExitKilled)
	}()
	return run(ctx, args, env)
}

var errSignal = errors.New("a signal asked the command to stop")

// command is one run of a command.
type command struct {
	env  Env
	o    options
	cfg  *config.Config
	now  time.Time
	args []string
}

func run(ctx context.Context, args []string, env Env) int {
	c := &command{env: env, now: time.Now()}
	code, err := c.dispatch(ctx, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(env.Out, usage)
		return ExitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(env.ErrOut, "drakkar dlq: %s\n\n%s", strings.TrimPrefix(err.Error(), errUsage.Error()+": "), usage)
		return ExitUsage
	case errors.Is(err, errSignal):
		fmt.Fprintln(env.ErrOut, "drakkar dlq: stopped by a signal")
		return ExitLeft
	case err != nil:
		fmt.Fprintln(env.ErrOut, "drakkar dlq:", strings.ReplaceAll(err.Error(), "\n", "\n             "))
		return ExitFailed
	}
	return code
}

func (c *command) dispatch(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return 0, fmt.Errorf("%w: say what to do", errUsage)
	}
	switch args[0] {
	case "list":
		return c.list(ctx, args[1:])
	case "show":
		return c.show(ctx, args[1:])
	case "replay":
		return c.replay(ctx, args[1:])
	case "help", "-h", "-help", "--help":
		return 0, flag.ErrHelp
	}
	return 0, fmt.Errorf("%w: there is no command %q", errUsage, args[0])
}

// parse reads the flags; arguments may stand among them.
func (c *command) parse(f *flag.FlagSet, args []string) error {
	for len(args) > 0 {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		if args = f.Args(); len(args) > 0 {
			c.args, args = append(c.args, args[0]), args[1:]
		}
	}
	return nil
}

// open loads the settings and opens the queue.
func (c *command) open(ctx context.Context) (dlq.Queue, error) {
	cfg, warnings, err := config.Load(config.LoadOptions{Path: c.o.config, Environ: c.env.Environ})
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		c.warn(w)
	}
	if c.o.dir != "" {
		cfg.DLQ.Dir = c.o.dir
	}
	c.cfg = cfg
	return dlq.OpenQueue(ctx, cfg.DLQ, cfg.Kafka, dlq.ReadOptions{Timeout: c.o.timeout, Warn: func(m string) { c.warn(m) }})
}

func (c *command) warn(what any) { fmt.Fprintln(c.env.ErrOut, "drakkar dlq: warning:", what) }
