package services

import "context"

// FerretDBVersion is the version of FerretDB, the last one that can keep its
// data without a PostgreSQL of its own make.
const FerretDBVersion = "v1.24.2"

const ferretDBModule = "github.com/FerretDB/FerretDB"

// ferretDBProgram embeds FerretDB: its own command cannot be built from the
// module proxy, it wants a file made by its release process.
const ferretDBProgram = `package main

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

// InstallFerretDB builds FerretDB into the home, if it is not there, and
// returns its path. It takes about two minutes on two cores.
func InstallFerretDB(ctx context.Context, h Home) (binary string, err error) {
	return goProgram{
		name: "ferretdb", title: "FerretDB " + FerretDBVersion,
		require: map[string]string{ferretDBModule: FerretDBVersion, sqliteModule: sqliteVersion},
		main:    ferretDBProgram, pkg: ".", tags: "ferretdb_no_postgresql,ferretdb_no_mysql",
	}.install(ctx, h)
}
