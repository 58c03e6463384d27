package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/workflows"
)

// programVariable makes this test's binary one of programs.
const programVariable = "DRAKKARTEST_PROGRAM"

// programs are what users build of Main and its siblings.
var programs = map[string]func() int{
	"handler": func() int { return Main(drakkar.NewPipeline(&hooks{})) },
	"ingest":  MainIngest,
	"exec":    MainExec,

	// A hook that has the name of one and not its form.
	"misfit": func() int { return Main(drakkar.NewPipeline(&misfit{})) },

	// A hook that heeds nothing holds up start and stop.
	"deaf": func() int {
		return Main(drakkar.NewPipeline(&hooks{ready: func(context.Context, *config.Config) error {
			fmt.Println("deaf")
			select {}
		}}))
	},

	// A program that runs the app itself and ends it by its context.
	"embedding": func() int {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		cfg, _, err := config.Load(config.LoadOptions{Path: os.Args[2], Environ: os.Environ()})
		if err != nil {
			return ExitFailed
		}
		a, err := New(Options{Config: cfg, Role: Executor, Pipeline: drakkar.NewPipeline(&hooks{
			ready: func(context.Context, *config.Config) error {
				cancel()
				fmt.Println("deaf")
				select {}
			},
		})})
		if err != nil || a.Run(ctx) != nil {
			return ExitFailed
		}
		return ExitOK
	},

	// A hook that ends with its context, as they should.
	"heeding": func() int {
		return Main(drakkar.NewPipeline(&hooks{ready: func(ctx context.Context, _ *config.Config) error {
			fmt.Println("heeding")
			<-ctx.Done()
			return context.Cause(ctx)
		}}))
	},
}

type misfit struct{ hooks }

// OnTaskComplete forgets the error.
func (*misfit) OnTaskComplete(context.Context, drakkar.Result) drakkar.CollectResult {
	return drakkar.CollectResult{}
}

// process is a program that runs in a process of its own.
type process struct {
	cmd    *exec.Cmd
	out    output
	errOut output
}

// output is what a process has written so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start starts a program. It is killed with the test.
func start(t *testing.T, program string, environ []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append([]string{programVariable + "=" + program, "PATH=" + os.Getenv("PATH")}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errOut
	p.cmd.Dir = t.TempDir()
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s%s", program, p.out.String(), p.errOut.String())
		}
	})
	return p
}

// ended waits for the end and returns the exit code.
func (p *process) ended(t *testing.T) int {
	t.Helper()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) awaitOutput(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(p.out.String()+p.errOut.String(), text) }, eventually, soon, text)
}

// file writes settings that need no service.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drakkar.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// file writes the settings of a bundle.
func (b *testBundle) file(t *testing.T) string {
	t.Helper()
	data, err := yaml.Marshal(b.cfg)
	require.NoError(t, err)
	return file(t, string(data))
}

// away are settings with a Temporal that nobody listens at, on free ports.
const away = "temporal: {address: '127.0.0.1:1'}\nmetrics: {port: 0}\ningest: {metrics_port: 0}\n"

func TestMain_Flags(t *testing.T) {
	t.Parallel()

	good := file(t, "kafka: {source_topic: in}\n")
	for _, tt := range []struct {
		name    string
		program string
		args    []string
		code    int
		out     string
		errOut  string
	}{
		{"Help", "handler", []string{"-help"}, ExitOK, "-config string", ""},
		{"HelpNamesRoles", "handler", []string{"-h"}, ExitOK, "what this process does: executor, ingest, all", ""},
		{"HelpOfIngest", "ingest", []string{"--help"}, ExitOK, "DRAKKAR_CONFIG", ""},
		{"Version", "exec", []string{"-version"}, ExitOK, Version(), ""},
		{"VersionNeedsNoSettings", "ingest", []string{"-config", "/no/such/file", "--version"}, ExitOK, Version(), ""},
		{"UnknownFlag", "handler", []string{"-confg", good}, ExitUsage, "", "flag provided but not defined: -confg"},
		{"FlagWithoutValue", "handler", []string{"-config"}, ExitUsage, "", "flag needs an argument: -config"},
		{"Argument", "ingest", []string{good}, ExitUsage, "", "the file with the settings is named by -config"},
		{"ArgumentBehindFlags", "exec", []string{"-config", good, "run"}, ExitUsage, "", `there is no argument "run"`},
		{"UnknownRole", "handler", []string{"-role", "worker"}, ExitUsage, "", `the role "worker" is none of executor, ingest, all`},
		{"EmptyRole", "exec", []string{"-role="}, ExitUsage, "", `the role "" is none of`},
		{"IngestHasOneRole", "ingest", []string{"-role", "all"}, ExitUsage, "", "not defined: -role"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, tt.program, nil, tt.args...)
			require.Equal(t, tt.code, p.ended(t))
			require.Contains(t, p.out.String(), tt.out)
			require.Contains(t, p.errOut.String(), tt.errOut)
			if tt.out == "" {
				require.Empty(t, p.out.String(), "complaints go to stderr")
			} else {
				require.Empty(t, p.errOut.String(), "what was asked for goes to stdout")
			}
		})
	}
}

// What is wrong is said on stderr before anything is connected, all at once,
// and the exit code is 1.
func TestMain_Refuses(t *testing.T) {
	t.Parallel()

	exec := func(handler string) string {
		return away + "sinks: {kafka: {a: {topic: t}, b: {topic: t}}}\n" + handler
	}
	for _, tt := range []struct {
		name    string
		program string
		file    string
		environ []string
		args    []string
		want    []string
	}{
		{"NoFile", "ingest", "", nil, []string{"-config", "/no/such/file"}, []string{"drakkar: reading the configuration: open /no/such/file"}},
		{"Problems", "ingest", "kafka: {nope: 1}\nmetrics: {port: x}\n", nil, nil, []string{
			"drakkar: kafka.nope: is not a setting", "\n         metrics.port: \"x\" is not a whole number",
		}},
		{"Variable", "handler", "", []string{"DRAKKAR_EXECUTOR__WINDOW_SIZE=0"}, nil, []string{"drakkar: DRAKKAR_EXECUTOR__WINDOW_SIZE: 0 is outside"}},
		{"FileOfTheVariable", "ingest", "", []string{"DRAKKAR_CONFIG=/no/such/file"}, nil, []string{"open /no/such/file"}},
		{"FlagWinsOverVariable", "ingest", "metrics: {port: x}\n", []string{"DRAKKAR_CONFIG=/no/such/file"}, nil, []string{"metrics.port"}},
		{"PortBeyondTheLast", "ingest", "metrics: {port: 65535}\nports: {offset: 1}\n", nil, nil, []string{"metrics.port: 65535 is more than"}},
		{"NoExecHandler", "exec", away, nil, nil, []string{"handler.exec is missing: say there which program runs for each message"}},
		{"ExecTemplate", "exec", exec("handler: {exec: {binary: rg, args: ['{{.Value'], deliver: [{type: kafka, sink: a}]}}"), nil, nil, []string{"handler.exec.args[0]:1: unclosed action"}},
		{"ExecAmbiguousSink", "exec", exec("handler: {exec: {binary: rg, deliver: [{type: kafka}]}}"), nil, nil, []string{"handler.exec.deliver[0].sink: must be set, there are several of type kafka: a, b"}},
		{"ExecUnknownSink", "exec", exec("handler: {exec: {binary: rg, deliver: [{type: kafka, sink: c}]}}"), nil, nil, []string{`"c" is not a sink of type kafka`}},
		{"Misfit", "misfit", away, nil, nil, []string{"app: checking the handler: *app.misfit.OnTaskComplete would never be called"}},
		{"MisfitAsAll", "misfit", away, nil, []string{"-role", "all"}, []string{"would never be called"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := tt.args
			if tt.file != "" {
				args = append([]string{"-config", file(t, tt.file)}, args...)
			}
			p := start(t, tt.program, tt.environ, args...)
			require.Equal(t, ExitFailed, p.ended(t))
			for _, want := range tt.want {
				require.Contains(t, p.errOut.String(), want)
			}
			require.Empty(t, p.out.String())
			require.NotContains(t, p.errOut.String(), "drakkar starting")
		})
	}
}

// A taken port ends a second process on the host, which names the first one's
// likely nature and the settings.
func TestMain_TakenPort(t *testing.T) {
	t.Parallel()

	first := start(t, "ingest", nil, "-config", file(t, "temporal: {address: '127.0.0.1:1'}\ningest: {metrics_port: 0}\n"))
	first.awaitOutput(t, "serving /metrics, /healthz and /readyz on ")
	_, rest, _ := strings.Cut(first.errOut.String(), "/readyz on [::]:")
	port, _, _ := strings.Cut(rest, `"`)
	second := start(t, "handler", nil, "-config", file(t, "temporal: {address: '127.0.0.1:1'}\nmetrics: {port: "+port+"}\n"))
	require.Equal(t, ExitFailed, second.ended(t))
	require.Contains(t, second.errOut.String(), "look for another drakkar process on this host, or change metrics.port or ports.offset")
	require.NoError(t, first.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, ExitOK, first.ended(t))
}

// Warnings do not keep a process from starting, and secrets are in none of its
// lines.
func TestMain_WarnsAndShowsNoSecret(t *testing.T) {
	t.Parallel()

	const secret = "hunter2hunter2"
	path := file(t, away+"debug: {db_dir: /tmp, auth_token: '${TOKEN}'}\ncache: {enabled: true}\nlogging: {level: DEBUG}\n"+
		"kafka: {brokers: '127.0.0.1:1', security: {protocol: sasl_plaintext, mechanism: PLAIN, username: u, password: "+secret+"}}\n"+
		"executor: {env: {A: "+secret+"}}\nsinks: {kafka: {a: {topic: t}}}\n")
	p := start(t, "handler", []string{"TOKEN=" + secret}, "-config", path)
	p.awaitOutput(t, "waiting for Temporal at 127.0.0.1:1")
	require.Contains(t, p.errOut.String(), "drakkar: warning: debug.db_dir: is not supported yet")
	require.Contains(t, p.errOut.String(), "drakkar: warning: cache.enabled: ")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, ExitOK, p.ended(t))
	require.NotContains(t, p.errOut.String()+p.out.String(), secret)
}

// A signal ends a process in order, whatever it is doing; that is no failure.
func TestMain_Signals(t *testing.T) {
	t.Parallel()

	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		for _, program := range []string{"ingest", "handler"} {
			t.Run(fmt.Sprintf("WaitingForTemporal/%s/%s", program, sig), func(t *testing.T) {
				t.Parallel()
				p := start(t, program, nil, "-config", file(t, away))
				p.awaitOutput(t, "waiting for Temporal")
				require.NoError(t, p.cmd.Process.Signal(sig))
				require.Equal(t, ExitOK, p.ended(t))
				require.NotContains(t, p.errOut.String(), "drakkar: ")
			})
		}
	}

	for role, flags := range map[string][]string{"executor": nil, "ingest": {"-role", "ingest"}, "all": {"-role", "all"}} {
		t.Run("Running/"+role, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := start(t, "handler", nil, append([]string{"-config", b.file(t)}, flags...)...)
			p.awaitOutput(t, `"message":"drakkar started"`)
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
			require.Equal(t, ExitOK, p.ended(t))
			require.Contains(t, p.errOut.String(), `"message":"drakkar shutting down"`)
		})
	}

	t.Run("InOnReady", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := start(t, "heeding", nil, "-config", b.file(t))
		p.awaitOutput(t, "heeding\n")
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.Equal(t, ExitOK, p.ended(t))
	})

	t.Run("TheSecondEndsItAtOnce", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := start(t, "deaf", nil, "-config", b.file(t))
		p.awaitOutput(t, "deaf\n")
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
		require.Equal(t, ExitKilled, p.ended(t))
	})
}

// A program that has ended the app by its context can still be ended by signals.
func TestRun_SignalsAfterTheContext(t *testing.T) {
	t.Parallel()

	b := setup(t)
	p := start(t, "embedding", nil, "-config", b.file(t))
	p.awaitOutput(t, "deaf\n")
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	require.Eventually(t, func() bool {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // some come together and are one
		return len(ended) > 0
	}, eventually, soon)
	require.Error(t, <-ended)
	require.Equal(t, ExitKilled, p.cmd.ProcessState.ExitCode())
}

// The executor of a pipeline in YAML polls like one with a handler in Go.
func TestMain_ExecHandlerRuns(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.cfg.Handler.Exec = &config.ExecHandler{
		Binary: "/bin/cat", Input: "json", OnFailure: "retry", Output: "whole",
		Deliver: []config.ExecDelivery{{Type: "kafka", Sink: "results"}},
	}
	p := start(t, "exec", []string{"WORKER_ID=yaml-1"}, "-config", b.file(t))
	require.Eventually(t, func() bool {
		return b.frontend.identity("activity "+workflows.ExecuteQueue("group")) == "yaml-1"
	}, eventually, soon)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, ExitOK, p.ended(t))
}

// What cannot be mended ends Run with an error, and everything in order.
func TestRun(t *testing.T) {
	t.Parallel()

	t.Run("Failure", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.app(t, Executor, &hooks{})
		ended := make(chan error, 1)
		go func() { ended <- a.Run(t.Context()) }()
		awaitReady(t, a)
		a.fail(errors.New("the worker was refused"))
		a.fail(errors.New("a second one does not block"))
		require.ErrorContains(t, <-ended, "the worker was refused")
		require.Empty(t, steps(a))
	})

	t.Run("Context", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.app(t, Executor, &hooks{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		awaitReady(t, a)
		cancel()
		require.NoError(t, <-ended, "an end that was asked for is no error")
		require.Empty(t, steps(a))
	})

	t.Run("ContextEndsWhileStarting", func(t *testing.T) {
		t.Parallel()
		a, err := New(Options{Config: settings(), Role: Ingest, Log: logUnless(false)})
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("changed my mind"))
		err = a.Run(ctx)
		require.ErrorContains(t, err, "waiting for Temporal at 127.0.0.1:1 (temporal.address)")
		require.ErrorContains(t, err, "changed my mind")
	})

	t.Run("StartFails", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.app(t, Executor, &hooks{ready: func(context.Context, *config.Config) error { return errors.New("migration 3") }})
		require.ErrorContains(t, a.Run(t.Context()), "on_ready: migration 3")
	})
}
