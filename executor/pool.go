// Package executor is the subprocess pool: it runs tasks, each in a slot, as
// external programs or as the handler's own Go, and it leaves nothing of them
// behind.
//
// A program is started without a shell, in a process group of its own. When it
// has to end, the group gets SIGTERM, a grace, and SIGKILL. When it has ended,
// well or not, whatever is left of its group is killed before its number can
// belong to somebody else. On Linux, the process also becomes the reaper of
// descendants that left the group, and ends them: each program carries
// [TaskEnv] in its environment, by which its descendants are told from
// processes that a handler started itself. See sweeper for the rules.
//
// A resident program takes task after task, over its standard streams, in the
// protocol of docs/resident.md. It has one task at a time, there are never more
// processes than slots, and whatever goes wrong with one ends it.
//
// [Admission] decides, before work is asked for, whether there is room for it.
package executor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// ErrStopped is what Run returns for a task that could not begin, or was ended,
// because the pool is stopped. It is not the task's fault.
var ErrStopped = errors.New("the subprocess pool is stopped")

// readingInterval is how often the pool reports how full it is.
const readingInterval = time.Second

// Config is what a pool is made of. Its fields are the settings of the same
// names below executor.
type Config struct {
	// Slots is how many tasks run at the same time. At least 1.
	Slots int

	// BinaryPath is the program of tasks that name none. May be empty when
	// every task names one.
	BinaryPath string

	// Mode is how programs of tasks that do not say it run. Empty means
	// drakkar.ModeSpawn.
	Mode drakkar.TaskMode

	// Resident rules the programs that take task after task.
	Resident Resident

	// Env is added to the environment of every program.
	Env map[string]string

	// EnvInheritParent hands Environ to programs, less what EnvInheritDeny
	// matches: case-insensitive patterns of names, where * stands for any
	// text.
	EnvInheritParent bool
	EnvInheritDeny   []string

	// TaskTimeout bounds one attempt of a task that has no timeout of its own.
	// Above 0.
	TaskTimeout time.Duration

	// KillGrace is how long a program may take to end after SIGTERM, and how
	// long a descendant that left its group may keep its pipes open. 0 kills
	// at once.
	KillGrace time.Duration

	// MaxOutputBytes is how much is kept of stdout, and of stderr. 0 keeps
	// nothing. What Execute or Task.Precomputed return is not cut.
	MaxOutputBytes int

	// Environ is the environment to inherit, as "name=value". Nil means that
	// of this process.
	Environ []string
}

// Resident rules programs that take task after task, in the protocol of
// docs/resident.md. Its fields are the settings of the same names below
// executor.resident.
type Resident struct {
	// Framing is FramingLines or FramingLength. Empty means FramingLines.
	Framing string

	// Args are what a program is started with.
	Args []string

	// StartTimeout bounds the time until a program says that it is ready. 0
	// means 30 s.
	StartTimeout time.Duration

	// MaxTasks is how many tasks a program takes before it is replaced. 0 does
	// not bound them.
	MaxTasks int

	// MaxMemoryBytes is the memory at which a program is replaced, measured
	// between tasks, without its children, on Linux. 0 does not measure.
	MaxMemoryBytes int
}

// startTimeout is used when none is given.
const startTimeout = 30 * time.Second

// validate reports every problem at once, each under the key the user typed.
func (c Config) validate() error {
	var errs []error
	if c.Slots < 1 {
		errs = append(errs, fmt.Errorf("executor.max_executors: %d is below 1", c.Slots))
	}
	if c.TaskTimeout <= 0 {
		errs = append(errs, fmt.Errorf("executor.task_timeout: %s is not above 0", c.TaskTimeout))
	}
	if c.KillGrace < 0 {
		errs = append(errs, fmt.Errorf("executor.kill_grace: %s is negative", c.KillGrace))
	}
	if c.MaxOutputBytes < 0 {
		errs = append(errs, fmt.Errorf("executor.max_output_bytes: %d is negative", c.MaxOutputBytes))
	}
	if c.Mode != "" && c.Mode != drakkar.ModeSpawn && c.Mode != drakkar.ModeResident {
		errs = append(errs, fmt.Errorf("executor.mode: %q is neither %s nor %s", c.Mode, drakkar.ModeSpawn, drakkar.ModeResident))
	}
	return errors.Join(append(errs, c.Resident.validate()...)...)
}

func (r Resident) validate() []error {
	var errs []error
	if r.Framing != "" && r.Framing != FramingLines && r.Framing != FramingLength {
		errs = append(errs, fmt.Errorf("executor.resident.framing: %q is neither %s nor %s", r.Framing, FramingLines, FramingLength))
	}
	if r.StartTimeout < 0 {
		errs = append(errs, fmt.Errorf("executor.resident.start_timeout: %s is negative", r.StartTimeout))
	}
	if r.MaxTasks < 0 {
		errs = append(errs, fmt.Errorf("executor.resident.max_tasks: %d is negative", r.MaxTasks))
	}
	if r.MaxMemoryBytes < 0 {
		errs = append(errs, fmt.Errorf("executor.resident.max_memory_bytes: %d is negative", r.MaxMemoryBytes))
	}
	return errs
}

// Deps are what a pool reports to.
type Deps struct {
	// Events takes TaskStarted, TaskCompleted, OrphanKilled, ResidentStarted,
	// ResidentEnded and PoolState. Nil drops them.
	Events events.Recorder
}

// Job is one attempt of a task.
type Job struct {
	Task drakkar.Task

	// Attempt counts from 1.
	Attempt int

	// At is where the task comes from: topic, partition and its lowest offset.
	At events.At

	// Priority orders tasks that wait for a slot: the smaller goes first. NaN
	// counts as 0.
	Priority float64

	// Execute runs the task in Go; nil starts the program.
	Execute func(ctx context.Context, t drakkar.Task) (drakkar.Result, error)

	// Started is called once, when the task holds its slot. May be nil.
	Started func()
}

// Stats is how full a pool is.
type Stats struct {
	Slots   int
	Active  int // slots in use
	Waiting int // tasks waiting for a slot
}

// Pool runs tasks. It is safe for concurrent use.
type Pool struct {
	cfg     Config
	events  events.Recorder
	environ []string // of every program; never written to
	token   string   // tells this pool's programs from all others
	gate    *gate

	mu   sync.Mutex
	life *lifetime // nil while stopped
}

// New returns a pool that is not started. The error names every setting that
// is out of its range.
func New(cfg Config, deps Deps) (*Pool, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if deps.Events == nil {
		deps.Events = events.Discard
	}
	if cfg.Environ == nil {
		cfg.Environ = os.Environ()
	}
	cfg.Mode = cmp.Or(cfg.Mode, drakkar.ModeSpawn)
	cfg.Resident.Framing = cmp.Or(cfg.Resident.Framing, FramingLines)
	cfg.Resident.StartTimeout = cmp.Or(cfg.Resident.StartTimeout, startTimeout)
	return &Pool{
		cfg: cfg, events: deps.Events, environ: baseEnviron(cfg),
		token: rand.Text(), gate: newGate(cfg.Slots),
	}, nil
}

// Start makes the pool take tasks, until Stop. Starting it twice is fine, and
// so is starting it again once it is stopped. The context is for starting only.
//
// On Linux it makes this process the reaper of orphaned descendants, which it
// stays.
func (p *Pool) Start(ctx context.Context) error {
	for {
		ending, err := p.startOnce(ctx)
		if err != nil {
			return fmt.Errorf("starting the subprocess pool: %w", err)
		}
		if ending == nil {
			return nil
		}
		select {
		case <-ending:
		case <-ctx.Done():
		}
	}
}

// startOnce starts the pool unless it runs. While it is being stopped it
// returns what is closed at the end of that.
func (p *Pool) startOnce(ctx context.Context) (ending <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case p.life == nil:
		p.life, err = newLifetime(p)
		return nil, err
	case p.life.stopping:
		return p.life.done, nil
	default:
		return nil, nil
	}
}

// Stop ends the pool in stages: tasks that wait for a slot get ErrStopped at
// once, running ones go on until ctx ends, and are then ended like those whose
// context is cancelled. It returns when all have ended. Calling it again, or
// before Start, is fine; a second call whose ctx ends first ends the tasks.
//
// The error tells of Execute functions that went on although their context was
// cancelled: they still run, and keep their slots.
func (p *Pool) Stop(ctx context.Context) error {
	p.mu.Lock()
	life := p.life
	p.mu.Unlock()

	if life == nil {
		return nil
	}
	life.drain(p)
	select {
	case <-life.done:
	case <-ctx.Done():
		life.kill(ErrStopped)
		<-life.done
	}
	return life.err
}

// Room reports whether a task would get a slot at once.
func (p *Pool) Room() bool {
	p.mu.Lock()
	running := p.life != nil && !p.life.stopping
	p.mu.Unlock()

	s := p.Stats()
	return running && s.Active+s.Waiting < s.Slots
}

// Stats returns how full the pool is.
func (p *Pool) Stats() Stats { return p.gate.stats() }

// Run waits for a slot, runs one attempt of the task and returns its result.
//
// The error is a drakkar.TaskError when the task failed; it holds the result
// as far as there is one. Any other error is not the task's fault: the cause
// of ctx's cancellation, or ErrStopped. The program was ended then, and what
// is left of its result is returned. In between is *HostError: this host could
// not start the program now, and it wraps the drakkar.TaskError for that.
//
// A function in Execute holds its slot, and Run, until it returns, however
// late.
//
// Success is reported as TaskCompleted. Failure is not reported: the caller
// knows what follows it.
func (p *Pool) Run(ctx context.Context, j Job) (drakkar.Result, error) {
	if j.Task.Precomputed != nil {
		return p.precomputed(j)
	}
	life, err := p.enter()
	if err != nil {
		return drakkar.Result{}, err
	}
	defer life.tasks.Done()

	asked := time.Now()
	slot, err := p.gate.take(ctx, life.draining, newWaiter(j))
	if err != nil {
		return drakkar.Result{}, err
	}
	res, err := p.inSlot(ctx, life, j, slot, asked)
	if err != nil {
		return res, err
	}
	p.completed(j, res)
	return res, nil
}

// inSlot runs the attempt and gives the slot back, also when Execute ends its
// goroutine.
func (p *Pool) inSlot(ctx context.Context, life *lifetime, j Job, slot int, asked time.Time) (drakkar.Result, error) {
	defer p.gate.release(slot)

	ctx, cancel := life.bound(ctx)
	defer cancel()

	run, err := p.way(ctx, life, j)
	if err != nil {
		return drakkar.Result{}, err
	}
	if j.Started != nil {
		j.Started()
	}
	s := p.Stats()
	p.events.Record(events.TaskStarted{
		At: j.At, Task: j.Task, Attempt: j.Attempt, Slot: slot, Waited: time.Since(asked),
		Active: s.Active, Waiting: s.Waiting,
	})
	return run(ctx)
}

// way waits until there is what the attempt needs besides its slot, and returns
// the way to run it.
func (p *Pool) way(ctx context.Context, life *lifetime, j Job) (func(context.Context) (drakkar.Result, error), error) {
	if j.Execute != nil {
		return func(ctx context.Context) (drakkar.Result, error) { return p.execute(ctx, j) }, nil
	}
	kind := p.residentKind(j.Task)
	idle, err := life.places.claim(ctx, kind)
	switch {
	case err != nil:
		return nil, err
	case kind == "":
		return func(ctx context.Context) (drakkar.Result, error) {
			defer life.places.leave()
			return p.runProgram(ctx, life, j)
		}, nil
	default:
		return func(ctx context.Context) (drakkar.Result, error) { return p.runResident(ctx, life, j, idle) }, nil
	}
}

// completed reports success, after the slot was given back.
func (p *Pool) completed(j Job, res drakkar.Result) {
	s := p.Stats()
	p.events.Record(events.TaskCompleted{
		At: j.At, Result: res, Precomputed: j.Task.Precomputed != nil,
		Active: s.Active, Waiting: s.Waiting,
	})
}

// enter counts a task in, so that Stop waits for it.
func (p *Pool) enter() (*lifetime, error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.life == nil || p.life.stopping {
		return nil, ErrStopped
	}
	p.life.tasks.Add(1)
	return p.life, nil
}
