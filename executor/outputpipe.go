package executor

import (
	"errors"
	"os"
	"time"
)

// outputPipe is an output of a program that runs once, with what is kept of it.
type outputPipe struct {
	capture
	ours, theirs *os.File

	held bool  // it was let go while somebody could still write to it
	err  error // closing or reading it failed
}

// open makes the pipe, if it is not there yet.
func (o *outputPipe) open() (err error) {
	if o.ours == nil {
		o.ours, o.theirs, err = os.Pipe()
	}
	return err
}

// started closes the end that the program has: as long as we hold it too, the
// pipe does not end.
func (o *outputPipe) started() { o.err = o.theirs.Close() }

// letGo ends the wait for those who still hold the pipe, at a time.
func (o *outputPipe) letGo(at time.Time) { _ = o.ours.SetReadDeadline(at) }

// pump reads until nobody can write to the pipe any more, or it is let go, and
// closes it.
func (o *outputPipe) pump() {
	defer o.ours.Close()

	_, err := o.ReadFrom(o.ours)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		o.held, err = o.settle()
	}
	o.err = errors.Join(o.err, err)
}

// settle reads what is in the pipe, without waiting, and reports whether it goes
// on behind that. That the time was up does not say that all was read: this
// process may have been held up until then itself, on a busy host or in a
// virtual machine that was moved.
//
// What the program wrote is in the pipe, so no more than that is read: others
// may write as fast.
func (o *outputPipe) settle() (held bool, err error) {
	raw, err := o.ours.SyscallConn()
	if err != nil {
		return true, err
	}
	buf := make([]byte, scratchSize)
	for left := max(pipeSize, unread(raw)); left >= 0; {
		n, err := readNow(raw, buf)
		switch {
		case errors.Is(err, errPipeEnd):
			return false, nil
		case err != nil, n == 0:
			return true, err
		}
		o.keep(buf[:n])
		left -= n
	}
	return true, nil
}

// closeAll closes what is open when the program could not be started.
func (o *outputPipe) closeAll() { closeAll([]*os.File{o.ours, o.theirs}) }
