package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc. It is 100 Hz on every system that Go
// runs on, whatever the kernel's own is.
const tick = 10 * time.Millisecond

// cpu is the CPU time of a process.
type cpu struct {
	own      time.Duration
	children time.Duration // that it has waited for
}

func (c cpu) sum() time.Duration { return c.own + c.children }

func (c cpu) less(o cpu) cpu { return cpu{own: c.own - o.own, children: c.children - o.children} }

// readCPU reads what a process has used up to now.
func readCPU(pid int) (cpu, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return cpu{}, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return parseCPU(raw)
}

// parseCPU decodes /proc/<pid>/stat. The command in parentheses may hold
// anything, so fields are counted from the last one.
func parseCPU(raw []byte) (cpu, error) {
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) < 15 {
		return cpu{}, fmt.Errorf("reading the CPU time of a process: %d fields", len(fields))
	}
	var t [4]time.Duration // utime, stime, cutime, cstime
	for i := range t {
		n, err := strconv.ParseInt(string(fields[11+i]), 10, 64)
		if err != nil {
			return cpu{}, fmt.Errorf("reading the CPU time of a process: %w", err)
		}
		t[i] = time.Duration(n) * tick
	}
	return cpu{own: t[0] + t[1], children: t[2] + t[3]}, nil
}

// readBusy is the CPU time that all processes together had since the machine
// was started, and what a hypervisor kept from it.
func readBusy() (time.Duration, error) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("reading how busy the machine is: %w", err)
	}
	return parseBusy(string(raw))
}

// parseBusy decodes the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal.
func parseBusy(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("reading how busy the machine is: %q is not what was expected", line)
	}
	var sum time.Duration
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading how busy the machine is: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// readMemory is the resident memory of a process, in bytes.
func readMemory(pid int) (int64, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	return parseKB(string(raw), "VmRSS:")
}

// parseKB finds "NAME 123 kB" in a text of /proc.
func parseKB(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading %s: %w", strings.TrimSuffix(name, ":"), err)
			}
			return n << 10, nil
		}
	}
	return 0, fmt.Errorf("reading %s: it is not there", strings.TrimSuffix(name, ":"))
}
