package services

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// The login of the PostgreSQL server. Tests look for the password in errors.
const (
	PostgresUser     = "drakkar"
	PostgresPassword = "longship-of-oak"
)

// PostgresConfig says how to run a PostgreSQL server.
type PostgresConfig struct {
	Home Home

	// Dir holds data and log. Required. A server that was run in it before
	// goes on with its data. PostgreSQL refuses to run as root, so for root
	// the directories above, as far as they are below the system's directory
	// for temporary files, are opened to other users' passing through.
	Dir string

	// Port of the server; 0 takes a free one.
	Port int

	// Settings of the server, which win over what is set here.
	Settings map[string]string
}

// Postgres is one server, which wants a password. What it has committed
// survives Kill, but not a power failure.
type Postgres struct {
	*server
	bin  string
	user *syscall.Credential // nil is the user of this process
}

// StartPostgres installs PostgreSQL if need be, starts a server and returns
// once it answers.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	bin, err := InstallPostgres(ctx, cfg.Home)
	if err != nil {
		return nil, err
	}
	user, err := postgresUser()
	if err != nil {
		return nil, err
	}
	p := &Postgres{bin: bin, user: user}
	p.server = &server{
		name: NamePostgres, dir: cfg.Dir, port: cfg.Port,
		ending:  syscall.SIGINT, // SIGTERM waits until every client has gone
		command: func() *exec.Cmd { return p.command(cfg.Settings) },
		answers: p.answers,
	}
	if err := p.initialize(ctx, cfg.Home); err != nil {
		return nil, err
	}
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// URL is the server's address for clients, with the login and the database
// postgres.
func (p *Postgres) URL() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(PostgresUser, PostgresPassword),
		Host: p.Addr(), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Restart starts the server again after Stop or Kill, on the same data and at
// the same address, and returns once it answers.
func (p *Postgres) Restart(ctx context.Context) error {
	for {
		err := p.launch(ctx)
		// The processes of a killed server need a moment to notice, and until
		// then no other one may take its data.
		haunted := errors.Is(err, errEnded) && strings.Contains(tail(p.Log(), logLines), "shared memory block")
		if !haunted || ctx.Err() != nil {
			return err
		}
	}
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *Postgres) command(settings map[string]string) *exec.Cmd {
	args := []string{
		"-D", p.data(), "-p", strconv.Itoa(p.port), "-h", "127.0.0.1", "-k", "",
		"-c", "max_connections=300", "-c", "fsync=off", "-c", "full_page_writes=off",
	}
	for key, value := range settings {
		args = append(args, "-c", key+"="+value)
	}
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), args...) //nolint:noctx // it ends by Stop and Kill
	cmd.Dir = p.data()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	return cmd
}

// answers logs in.
func (p *Postgres) answers(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("leaving PostgreSQL: %w", err)
	}
	return nil
}

// initialize makes the data of a server that was never run.
func (p *Postgres) initialize(ctx context.Context, h Home) error {
	if _, err := os.Stat(filepath.Join(p.data(), "PG_VERSION")); err == nil {
		return nil
	}
	if err := os.MkdirAll(p.data(), 0o700); err != nil {
		return fmt.Errorf("making PostgreSQL's directory: %w", err)
	}
	password := filepath.Join(p.data(), "..", "password")
	if err := os.WriteFile(password, []byte(PostgresPassword), 0o600); err != nil {
		return fmt.Errorf("writing PostgreSQL's password: %w", err)
	}
	defer func() { _ = os.Remove(password) }()
	if p.user != nil {
		if err := handOver(p.user, p.data(), password); err != nil {
			return err
		}
	}
	return h.run(ctx, tool{
		doing: "making PostgreSQL's data directory", dir: p.data(), as: p.user, name: filepath.Join(p.bin, "initdb"),
		args: []string{
			"-D", p.data(), "-U", PostgresUser, "--pwfile", password, "-A", "scram-sha-256",
			"-E", "UTF8", "--locale", "C", "--no-sync", "--no-instructions",
		},
	})
}
