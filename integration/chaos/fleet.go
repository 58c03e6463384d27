package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/drakkar-go/drakkar/integration/services"
)

// leaveWithin is how long a member may take to end after SIGTERM. It is more
// than executor.drain_timeout, because Temporal or Kafka may be away then.
const leaveWithin = 90 * time.Second

// member is a process of the pipeline and its successors.
type member struct {
	role    role
	name    string
	runs    int
	program *services.Program
	busy    bool // a fault has it: nobody else may choose it, and its end is meant
}

// run names the present process.
func (m *member) run() string { return fmt.Sprintf("%s/%d", m.name, m.runs) }

// fleet is the processes of a pipeline.
type fleet struct {
	binary  string
	config  string
	logs    string
	env     []string
	journal *journal

	mu      sync.Mutex
	members []*member
	crashes int
}

// add starts a further process and returns its member, which belongs to the
// caller until it is released.
func (f *fleet) add(r role) (*member, error) {
	f.mu.Lock()
	m := &member{role: r, busy: true, name: fmt.Sprintf("%s-%d", r, f.count(r)+1)}
	f.members = append(f.members, m)
	f.mu.Unlock()
	return m, f.start(m)
}

// count is how many members of a role there ever were.
func (f *fleet) count(r role) int {
	n := 0
	for _, m := range f.members {
		if m.role == r {
			n++
		}
	}
	return n
}

// start starts the next process of a member that the caller has.
func (f *fleet) start(m *member) error {
	m.runs++
	p, err := services.StartProgram(services.ProgramConfig{
		Name: m.name, Binary: f.binary, Args: []string{"-config", f.config},
		Env: append([]string{
			envRole + "=" + string(m.role), envRun + "=" + m.run(), "WORKER_ID=" + m.name,
		}, f.env...),
		Log: filepath.Join(f.logs, m.name+".log"),
	})
	if err != nil {
		return err
	}
	m.program = p
	return nil
}

// take returns a member of the role that nobody has, and nil when there is none.
func (f *fleet) take(r role, pick uint64) *member {
	f.mu.Lock()
	defer f.mu.Unlock()
	var free []*member
	for _, m := range f.members {
		if m.role == r && !m.busy {
			free = append(free, m)
		}
	}
	if len(free) == 0 {
		return nil
	}
	m := free[pick%uint64(len(free))]
	m.busy = true
	return m
}

// await is take, which waits until there is one.
func (f *fleet) await(ctx context.Context, r role, pick uint64) (*member, error) {
	for {
		if m := f.take(r, pick); m != nil {
			return m, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func (f *fleet) release(m *member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m.busy = false
}

// retire makes a member leave for good.
func (f *fleet) retire(m *member) error {
	err := f.leave(m)
	f.mu.Lock()
	defer f.mu.Unlock()
	m.program = nil // it stays busy: nobody can choose it
	return err
}

// leave ends a member with SIGTERM and waits for its end.
func (f *fleet) leave(m *member) error {
	if err := m.program.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := eventually(context.Background(), leaveWithin, func() error {
		if m.program.Alive() == nil {
			return errors.New("it still runs")
		}
		return nil
	})
	if err != nil {
		return errors.Join(fmt.Errorf("stopping %s: it did not end within %s of SIGTERM", m.name, leaveWithin), m.program.Kill())
	}
	return nil
}

// watch counts processes that end by themselves, and starts them again.
func (f *fleet) watch(ctx context.Context) {
	for ctx.Err() == nil {
		for _, r := range []role{ingest, executor} {
			f.revive(r)
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (f *fleet) revive(r role) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if m.role != r || m.busy || m.program.Alive() == nil {
			continue
		}
		f.crashes++
		f.journal.say("crashed", m.run())
		if err := f.start(m); err != nil {
			f.journal.say("starting it again: "+err.Error(), m.name)
		}
	}
}

// stop ends every process in order, all at the same time.
func (f *fleet) stop() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := make([]error, len(f.members))
	var all sync.WaitGroup
	for i, m := range f.members {
		if m.program != nil {
			all.Go(func() { errs[i] = f.leave(m) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// kill ends every process at once.
func (f *fleet) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if m.program != nil {
			_ = m.program.Kill()
		}
	}
}

// self is the path of this program, which members run too.
func self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the path of this program: %w", err)
	}
	return path, nil
}
