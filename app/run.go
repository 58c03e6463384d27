package app

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/exechandler"
)

// Exit codes of Main.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
	// ExitKilled is a second signal while the process was stopping.
	ExitKilled = 130
)

// errSignal is the cause of the context that ends with a signal.
var errSignal = errors.New("a signal asked the process to stop")

// stopReserve is what stopping may take beside executor.drain_timeout.
const stopReserve = 30 * time.Second

// Run starts the app and stops it when a signal comes, ctx ends, or something
// fails that cannot be mended. The first SIGINT or SIGTERM stops it in order;
// a second one ends the process at once.
//
// Signals are caught before anything is connected, so that a process which
// waits for Temporal or Kafka can be stopped too.
func (a *App) Run(ctx context.Context) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for _, then := range []func(){func() { cancel(errSignal) }, func() { os.Exit(ExitKilled) }} {
			select {
			case <-signals:
				then()
			case <-ended:
				return
			}
		}
	}()

	if err := a.Start(ctx); err != nil {
		if errors.Is(context.Cause(ctx), errSignal) {
			return nil
		}
		return err
	}
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-a.Failed():
	}
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Executor.DrainTimeout+stopReserve)
	defer done()
	return errors.Join(failure, a.Stop(stop))
}

// Main is the main function of a program with a handler: it reads the flags,
// loads the settings and runs. It returns the exit code.
//
//	-config FILE   the settings; DRAKKAR_CONFIG is the default
//	-role ROLE     executor (the default), ingest or all
func Main(p *drakkar.Pipeline) int {
	return command{pipeline: p, role: Executor, choose: true}.run(os.Args[1:], os.Stdout, os.Stderr)
}

// MainIngest is the main function of ingest, which holds no handler.
func MainIngest() int {
	return command{role: Ingest}.run(os.Args[1:], os.Stdout, os.Stderr)
}

// MainExec is the main function of an executor whose handler is written in the
// settings, at handler.exec.
func MainExec() int {
	return command{make: execPipeline, role: Executor, choose: true}.run(os.Args[1:], os.Stdout, os.Stderr)
}

// CheckExec says what is wrong with the templates at handler.exec, if a handler
// is written there.
func CheckExec(cfg *config.Config) error {
	if cfg.Handler.Exec == nil {
		return nil
	}
	_, err := execPipeline(cfg)
	return err
}

func execPipeline(cfg *config.Config) (*drakkar.Pipeline, error) {
	if cfg.Handler.Exec == nil {
		return nil, errors.New("handler.exec is missing: say there which program runs for each message, or write a handler in Go")
	}
	return exechandler.New(*cfg.Handler.Exec, cfg.Executor.BinaryPath)
}

// command is a program before its flags are read.
type command struct {
	pipeline *drakkar.Pipeline
	// make makes the pipeline from the settings instead.
	make   func(*config.Config) (*drakkar.Pipeline, error)
	role   Role
	choose bool // the role can be chosen by a flag
}

// run reads the flags and runs. What was asked for, help or the version, goes to
// out, complaints to errOut.
func (c command) run(args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("drakkar", flag.ContinueOnError)
	var said bytes.Buffer
	flags.SetOutput(&said)
	path := flags.String("config", "", "file with the settings (default: the environment variable DRAKKAR_CONFIG)")
	version := flags.Bool("version", false, "print the version and end")
	role := string(c.role)
	if c.choose {
		flags.StringVar(&role, "role", role, "what this process does: executor, ingest, all")
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, said.String())
		return ExitOK
	case err != nil:
		fmt.Fprint(errOut, said.String())
		return ExitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(errOut, "drakkar: there is no argument %q: the file with the settings is named by -config\n", flags.Arg(0))
		return ExitUsage
	case *version:
		fmt.Fprintln(out, Version())
		return ExitOK
	case !slices.Contains([]Role{Ingest, Executor, All}, Role(role)):
		fmt.Fprintf(errOut, "drakkar: the role %q is none of executor, ingest, all\n", role)
		return ExitUsage
	}
	if err := c.start(*path, Role(role), errOut); err != nil {
		fmt.Fprintln(errOut, "drakkar:", strings.ReplaceAll(err.Error(), "\n", "\n         "))
		return ExitFailed
	}
	return ExitOK
}

func (c command) start(path string, role Role, errOut io.Writer) error {
	cfg, warnings, err := config.Load(config.LoadOptions{Path: path, Environ: os.Environ()})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(errOut, "drakkar: warning:", w)
	}
	p := c.pipeline
	if c.make != nil {
		if p, err = c.make(cfg); err != nil {
			return err
		}
	}
	a, err := New(Options{Config: cfg, Role: role, Pipeline: p})
	if err != nil {
		return err
	}
	return a.Run(context.Background())
}
