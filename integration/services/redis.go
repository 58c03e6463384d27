package services

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// RedisConfig says how to run a Redis server.
type RedisConfig struct {
	Home Home

	// Dir holds data and log. Required. A server that was run in it before
	// goes on with its data.
	Dir string

	// Port of the server; 0 takes a free one.
	Port int

	// Args are added to the command line and win over what is set here, as in
	// "--maxmemory", "10mb".
	Args []string
}

// Redis is one server with 1,024 databases. What it has answered survives Kill.
type Redis struct{ *server }

// StartRedis installs Redis if need be, starts a server and returns once it
// answers.
func StartRedis(ctx context.Context, cfg RedisConfig) (*Redis, error) {
	if err := InstallRedis(ctx, cfg.Home); err != nil {
		return nil, err
	}
	s := &server{name: NameRedis, dir: cfg.Dir, port: cfg.Port}
	s.command = func() *exec.Cmd {
		args := []string{
			"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", cfg.Dir, "--databases", "1024",
			// What a killed server has written is safe without a sync.
			"--save", "", "--appendonly", "yes", "--appendfsync", "no",
		}
		return exec.Command("redis-server", append(args, cfg.Args...)...) //nolint:noctx // it ends by Stop and Kill
	}
	s.answers = func(ctx context.Context) error { return pingRedis(ctx, s.Addr()) }
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return &Redis{s}, nil
}

// URL is the server's address for clients.
func (r *Redis) URL() string { return "redis://" + r.Addr() + "/0" }

// InstallRedis installs Redis when redis-server is not in PATH, which only root
// on Debian and its kin can.
func InstallRedis(ctx context.Context, h Home) error {
	return h.locked(func() error {
		return h.ensure(ctx, requirement{
			service: "redis", programs: []string{"redis-server"}, packages: []string{"redis-server"},
			advice: "install Redis",
		})
	})
}

// pingRedis asks the server whether it serves. While it reads its data it
// answers with an error.
func pingRedis(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("connecting to Redis: %w", err)
	}
	defer func() { _ = conn.Close() }()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(probeTimeout)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("asking Redis: %w", err)
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return fmt.Errorf("asking Redis: %w", err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("asking Redis: %w", err)
	}
	// A server with a password asks for it, and serves.
	if answer = strings.TrimSpace(answer); answer != "+PONG" && !strings.HasPrefix(answer, "-NOAUTH") {
		return errors.New("asking Redis: it answered " + answer)
	}
	return nil
}
