package services

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// FerretDBVersion is the version of FerretDB, the last one that can keep its
// data without a PostgreSQL of its own make.
const FerretDBVersion = "v1.24.2"

const ferretDBPackage = "github.com/FerretDB/FerretDB"

// ferretDBModule and ferretDBProgram are a module that embeds FerretDB: its own
// command cannot be built from the module proxy, it wants a file made by its
// release process.
const (
	ferretDBModule = "module ferretdb\n\ngo 1.24\n\nrequire " + ferretDBPackage + " " + FerretDBVersion + "\n"

	ferretDBProgram = `package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// The arguments are the address and the URL of the data directory.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	f, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: os.Args[1]},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Handler:   "sqlite",
		SQLiteURL: os.Args[2],
	})
	if err == nil {
		err = f.Run(ctx)
	}
	if err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}
`
)

// InstallFerretDB builds FerretDB into the home, if it is not there, and
// returns its path. It takes about two minutes on two cores.
func InstallFerretDB(ctx context.Context, h Home) (binary string, err error) {
	binary = filepath.Join(h.Dir, "bin", "ferretdb")
	return binary, h.locked(func() error {
		if ferretDBBuilt(binary) {
			return nil
		}
		if len(missing("go")) > 0 {
			return errors.New("FerretDB is built by go build: go is not in PATH")
		}
		return h.buildFerretDB(ctx, binary)
	})
}

// ferretDBBuilt reports whether the program is there, of our version.
func ferretDBBuilt(binary string) bool {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return false
	}
	for _, dep := range info.Deps {
		if dep.Path == ferretDBPackage {
			return dep.Version == FerretDBVersion
		}
	}
	return false
}

func (h Home) buildFerretDB(ctx context.Context, binary string) error {
	dir := filepath.Join(h.Dir, "ferretdb-"+FerretDBVersion)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("building FerretDB: %w", err)
	}
	for name, text := range map[string]string{"go.mod": ferretDBModule, "main.go": ferretDBProgram} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("building FerretDB: %w", err)
		}
	}
	return h.run(ctx, tool{
		doing: "building FerretDB " + FerretDBVersion + ", which takes some minutes the first time",
		dir:   dir, name: "go", env: []string{"GOFLAGS=-mod=mod", "GOWORK=off"},
		args: []string{"build", "-tags", "ferretdb_no_postgresql,ferretdb_no_mysql", "-o", binary, "."},
	})
}
