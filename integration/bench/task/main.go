// Command task is what the bench's programs do, and what they are measured by.
//
//	task burn MILLISECONDS [ANYTHING]     takes so much of CPU
//	task loop SLOTS COUNT PROGRAM [ARG]   runs a program so often, so many at
//	                                      the same time, with nothing around
//	                                      os/exec; prints the seconds it took
//	task resident                         does nothing for each request of the
//	                                      resident protocol
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "task:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 2 && args[0] == "burn":
		ms, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("reading the milliseconds: %w", err)
		}
		return burn(time.Duration(ms) * time.Millisecond)
	case len(args) >= 4 && args[0] == "loop":
		slots, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("reading the slots: %w", err)
		}
		count, err := strconv.Atoi(args[2])
		if err != nil {
			return fmt.Errorf("reading the count: %w", err)
		}
		return loop(slots, count, args[3:])
	case len(args) == 1 && args[0] == "resident":
		return resident(os.Stdin, os.Stdout)
	default:
		return errors.New("usage: task burn MILLISECONDS, task loop SLOTS COUNT PROGRAM [ARG], or task resident")
	}
}

// burn uses CPU until the process has had so much of it: on a busy machine it
// takes longer, and does not do less.
func burn(d time.Duration) error {
	for x := uint32(1); ; {
		for range 20_000 {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
		}
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return fmt.Errorf("reading the CPU time: %w", err)
		}
		if time.Duration(u.Utime.Nano()+u.Stime.Nano()) >= d || x == 0 {
			return nil
		}
	}
}

// loop runs the program count times.
func loop(slots, count int, program []string) error {
	left := make(chan struct{}, count)
	for range count {
		left <- struct{}{}
	}
	close(left)
	failed := make(chan error, slots)
	var workers sync.WaitGroup
	began := time.Now()
	for range slots {
		workers.Go(func() {
			for range left {
				cmd := exec.Command(program[0], program[1:]...) //nolint:gosec,noctx // whose arguments say what to run; bare is what it is meant to be
				if err := cmd.Run(); err != nil {
					failed <- fmt.Errorf("running %s: %w", program[0], err)
					return
				}
			}
		})
	}
	workers.Wait()
	took := time.Since(began)
	close(failed)
	if err := <-failed; err != nil {
		return err
	}
	fmt.Println(took.Seconds())
	return nil
}
