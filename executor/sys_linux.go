package executor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// diesWithThread says that a program ends with the thread which started it.
const diesWithThread = true

// procAttr puts a program into a group of its own, and ends it when this
// process ends.
func procAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// reap waits for the program's end, calls exited while its pid still belongs to
// it, and reaps it.
func reap(cmd *exec.Cmd, exited func()) error {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	exited()
	return cmd.Wait()
}

// awaitGroup waits until nobody of a group is left alive, or the deadline. The
// group's leader is a zombie. The kernel offers no way to wait for a group, so
// it is looked for, less and less often.
func awaitGroup(group int, deadline time.Time) {
	pause := 5 * time.Millisecond
	for groupAlive(group) && time.Now().Before(deadline) {
		<-time.After(min(pause, time.Until(deadline)))
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// groupAlive reports whether a process of the group is alive.
func groupAlive(group int) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if st, err := readStat(pid); err == nil && st.group == group && !st.dead() {
			return true
		}
	}
	return false
}

// stat is what matters of /proc/<pid>/stat.
type stat struct {
	state   byte
	parent  int
	group   int
	started string // with the pid, it names a process for good
}

// dead reports whether the process has ended and is not reaped.
func (s stat) dead() bool { return s.state == 'Z' || s.state == 'X' }

// readStat reads a process's state.
func readStat(pid int) (stat, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, fmt.Errorf("reading the state of process %d: %w", pid, err)
	}
	return parseStat(raw)
}

// parseStat decodes a line of /proc/<pid>/stat. The command in parentheses may
// hold anything, so fields are counted from the last one.
func parseStat(raw []byte) (stat, error) {
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return stat{}, fmt.Errorf("reading the state of a process: %d fields", len(fields))
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return stat{}, fmt.Errorf("reading a process's parent: %w", err)
	}
	group, err := strconv.Atoi(string(fields[2]))
	if err != nil {
		return stat{}, fmt.Errorf("reading a process's group: %w", err)
	}
	return stat{state: fields[0][0], parent: parent, group: group, started: string(fields[19])}, nil
}

// unread returns how many bytes that were written to a pipe nobody has read, or
// will.
func unread(pipe syscall.RawConn) (n int) {
	_ = pipe.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

// memoryOf returns how many bytes of memory a process holds; 0 when that cannot
// be told.
func memoryOf(pid int) int {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	return parseStatm(raw) * os.Getpagesize()
}

// parseStatm returns the resident pages in a line of /proc/<pid>/statm.
func parseStatm(raw []byte) int {
	fields := bytes.Fields(raw)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0
	}
	return pages
}
