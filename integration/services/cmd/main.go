// Command services installs and runs the real services of tests and demo.
//
//	services install SERVICE...            installs them
//	services up SERVICE...                 runs them until it is interrupted
//	services run SERVICE... -- COMMAND...  runs a command with their addresses
//
// A SERVICE is kafka, mongo, postgres, redis, temporal or all; several may be
// joined by commas. None means kafka and temporal. Flags of up: -kafka-port,
// -mongo-port, -postgres-port, -redis-port, -temporal-port, -temporal-ui-port.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/drakkar-go/drakkar/integration/services"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	home, err := services.NewHome(func(message string) { fmt.Fprintln(os.Stderr, "services:", message) })
	if err != nil {
		return err
	}
	return services.Command(ctx, home, args)
}
