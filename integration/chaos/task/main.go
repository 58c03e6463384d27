// Command task is the work of the chaos program's tasks: it notes that it
// began, sleeps, notes that it ended and prints its number. It holds nothing
// but that, because thousands of it are started on a small machine.
//
//	task NUMBER MILLISECONDS
//
// The log is the file that DRAKKARTEST_CHAOS_LOG names. A line is one write,
// so lines of many processes do not mix:
//
//	start NUMBER RUN PID BEGAN
//	end NUMBER RUN PID BEGAN ENDED
//
// RUN is the run of the executor that started it, from DRAKKARTEST_CHAOS_RUN;
// times are microseconds of Unix.
package main

import (
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		_, _ = os.Stderr.WriteString("task: " + err.Error() + "\n")
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return os.ErrInvalid
	}
	pause, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	log, err := os.OpenFile(os.Getenv("DRAKKARTEST_CHAOS_LOG"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()

	who := " " + args[0] + " " + os.Getenv("DRAKKARTEST_CHAOS_RUN") + " " + strconv.Itoa(os.Getpid()) + " " + now()
	if _, err := log.WriteString("start" + who + "\n"); err != nil {
		return err
	}
	<-time.After(time.Duration(pause) * time.Millisecond)
	if _, err := log.WriteString("end" + who + " " + now() + "\n"); err != nil {
		return err
	}
	_, err = os.Stdout.WriteString(args[0])
	return err
}

func now() string { return strconv.FormatInt(time.Now().UnixMicro(), 10) }
