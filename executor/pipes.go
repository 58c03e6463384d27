package executor

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// pipeSize is the most that a pipe holds by default. What a program wrote
// before it answered, and nobody has read, is not more than that.
const pipeSize = 64 << 10

// cannotTell is what unread returns where the system does not tell.
const cannotTell = -2

// readNow reads from a pipe what is there, without waiting. It returns 0 and no
// error when nothing is. It does not hinder another goroutine that waits for
// the same pipe.
func readNow(pipe syscall.RawConn, buf []byte) (n int, err error) {
	ctlErr := pipe.Control(func(fd uintptr) { n, err = readFD(fd, buf) })
	if errors.Is(err, syscall.EAGAIN) {
		return 0, ctlErr
	}
	return n, errors.Join(ctlErr, err)
}

// readFD reads from a pipe that does not block. At its end it returns
// errPipeEnd.
func readFD(fd uintptr, buf []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), buf)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, errPipeEnd
		default:
			return n, nil
		}
	}
}

// errPipeEnd says that nobody can write to a pipe any more.
var errPipeEnd = errors.New("the other end of the pipe is closed")

// errorPipe is the stderr of a resident program. It is read all the time, so
// that the program is never blocked by it, and what is read belongs to the task
// under way.
type errorPipe struct {
	file *os.File
	raw  syscall.RawConn

	mu        sync.Mutex
	task      *capture // of the task under way, or nil
	last      capture  // the beginning of what came since the last task
	unclaimed int64    // bytes that came while no task was under way
	scratch   [scratchSize]byte
}

// pump reads until the pipe ends or its deadline passes.
func (p *errorPipe) pump() {
	for ended := false; !ended; {
		err := p.raw.Read(func(fd uintptr) bool {
			n, err := p.take(fd)
			ended = err != nil && !errors.Is(err, syscall.EAGAIN)
			return n > 0 || ended // else wait
		})
		ended = ended || err != nil
	}
}

// take reads once and gives what came to whom it belongs.
func (p *errorPipe) take(fd uintptr) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	n, err := readFD(fd, p.scratch[:])
	if p.task != nil {
		p.task.keep(p.scratch[:n])
		return n, err
	}
	p.unclaimed += int64(n)
	p.last.keep(p.scratch[:n])
	return n, err
}

// begin lets what comes belong to a task.
func (p *errorPipe) begin(c *capture) {
	p.settle()

	p.mu.Lock()
	defer p.mu.Unlock()

	p.task = c
}

// end lets what comes from now on belong to nobody. All that was written before
// end was called is the task's.
func (p *errorPipe) end() {
	p.settle()

	p.mu.Lock()
	defer p.mu.Unlock()

	p.task = nil
	p.last = capture{max: p.last.max}
}

// settle reads what is in the pipe. It stops when it has read as much as a pipe
// holds: what is behind was written meanwhile.
func (p *errorPipe) settle() {
	_ = p.raw.Control(func(fd uintptr) { // fails when the pipe is closed: then nothing is there
		for read := 0; read < pipeSize; {
			n, err := p.take(fd)
			if err != nil {
				return
			}
			read += n
		}
	})
}

// rest returns how many bytes belonged to no task, and the first line that came
// since the last task.
func (p *errorPipe) rest() (unclaimed int64, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.unclaimed, firstLine(p.last.kept)
}
