// Package services installs and runs the real services that tests, the demo
// and developers need: an Apache Kafka broker, a Temporal development server,
// PostgreSQL, Redis, and FerretDB, which speaks MongoDB's protocol. It needs no
// containers.
//
// Everything is installed once below a cache directory, see [NewHome], and
// later runs start from there within seconds. A service belongs to the process
// that started it and ends with it.
package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// EnvCache names the environment variable that overrides the directory
// services are installed into.
const EnvCache = "DRAKKARTEST_CACHE"

// Home is where services are installed.
type Home struct {
	// Dir is the directory; it is made when it is missing.
	Dir string

	// Progress is told what takes long. Nil keeps silent.
	Progress func(message string)
}

// NewHome returns the directory that DRAKKARTEST_CACHE names, else .cache in the
// root of the repository the current directory belongs to.
func NewHome(progress func(message string)) (Home, error) {
	if dir := os.Getenv(EnvCache); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return Home{}, fmt.Errorf("resolving %s: %w", EnvCache, err)
		}
		return Home{Dir: abs, Progress: progress}, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return Home{}, err
	}
	return Home{Dir: filepath.Join(root, ".cache"), Progress: progress}, nil
}

// moduleRoot is the nearest directory at or above the current one with a
// go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the current directory: %w", err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		switch {
		case err == nil:
			return dir, nil
		case !errors.Is(err, os.ErrNotExist):
			return "", fmt.Errorf("looking for the root of the repository: %w", err)
		case filepath.Dir(dir) == dir:
			return "", fmt.Errorf("no go.mod at or above the current directory: set %s to a directory for services", EnvCache)
		}
		dir = filepath.Dir(dir)
	}
}

func (h Home) progressf(format string, args ...any) {
	if h.Progress != nil {
		h.Progress(fmt.Sprintf(format, args...))
	}
}

// freePorts returns n ports of the loopback interface that nobody listens to.
// Another process can take one before it is used.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		// All stay open until the last is found, so that they differ.
		var tcp net.ListenConfig
		listener, err := tcp.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer listener.Close()
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		if ports[i], err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
	}
	return ports, nil
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
