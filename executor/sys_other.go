//go:build !linux

package executor

import (
	"os/exec"
	"syscall"
	"time"
)

// diesWithThread says that a program ends with the thread which started it.
const diesWithThread = false

// procAttr puts a program into a group of its own.
func procAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// reap waits for the program's end and calls exited. There is no portable way
// to learn of the end without reaping, so exited comes a moment after the pid
// is free, and a descendant in the group which keeps stdin open holds it back
// for the grace.
func reap(cmd *exec.Cmd, exited func()) error {
	defer exited()
	return cmd.Wait()
}

// awaitGroup does not wait: there is no portable way to see who is in a group.
func awaitGroup(int, time.Time) {}

// unread cannot tell how many bytes of a pipe were not read.
func unread(syscall.RawConn) int { return cannotTell }

// memoryOf cannot tell how much memory a process holds.
func memoryOf(int) int { return 0 }

// sweeper does nothing: only Linux lets a process adopt orphans.
type sweeper struct{}

func newSweeper(*Pool, *runs) *sweeper { return &sweeper{} }

func (*sweeper) run(stop <-chan struct{}) { <-stop }

func (*sweeper) nudge() {}
