package services

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// progressInterval is how often a long installation says that it goes on.
const progressInterval = 15 * time.Second

// installWait is how long a tool's output pipes are kept after it was ended.
const installWait = 5 * time.Second

// locked calls install while no other process installs into the same home.
func (h Home) locked(install func() error) error {
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		return fmt.Errorf("making the directory for services: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(h.Dir, "install.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("locking the directory for services: %w", err)
	}
	defer lock.Close() // which unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking the directory for services: %w", err)
	}
	return install()
}

// tool is a program that an installation runs to its end.
type tool struct {
	doing string // "installing Kafka's jars"
	dir   string
	env   []string // added to the environment
	name  string
	args  []string
	as    *syscall.Credential // nil is the user of this process
}

// run runs the tool, tells the home that it goes on, and puts the end of its
// output into the error.
func (h Home) run(ctx context.Context, t tool) error {
	cmd := exec.CommandContext(ctx, t.name, t.args...)
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), t.env...)
	cmd.WaitDelay = installWait
	if t.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: t.as}
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output

	stop := h.keepTelling(t.doing)
	defer stop()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %s: %w; its output ends with:\n%s", t.doing, t.name, err, lastLines(output.String(), logLines))
	}
	return nil
}

// keepTelling says at once and again and again that something goes on, until
// stop is called.
func (h Home) keepTelling(doing string) (stop func()) {
	h.progressf("%s", doing)
	began, done, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				h.progressf("%s, since %s", doing, time.Since(began).Round(time.Second))
			}
		}
	}()
	return func() { close(done); <-ended }
}

// missing returns which programs are not in PATH.
func missing(programs ...string) []string {
	var out []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			out = append(out, p)
		}
	}
	return out
}

// requirement are programs that a service needs.
type requirement struct {
	service  string
	programs []string
	packages []string // of Debian, which hold them
	advice   string   // "install a JDK from version 17 on"
}

// ensure installs the packages when one of the programs is missing.
func (h Home) ensure(ctx context.Context, r requirement) error {
	absent := missing(r.programs...)
	if len(absent) == 0 {
		return nil
	}
	if err := h.aptInstall(ctx, r.packages...); err != nil {
		return fmt.Errorf("%s needs %s, which is not in PATH: %s (%s): %w",
			r.service, strings.Join(absent, " and "), r.advice, strings.Join(r.packages, ", "), err)
	}
	return nil
}

// aptInstall installs packages where that is possible: as root on Debian and
// its kin.
func (h Home) aptInstall(ctx context.Context, packages ...string) error {
	if os.Geteuid() != 0 || len(missing("apt-get")) > 0 {
		return errors.New("only root on Debian can install them from here")
	}
	// At run level 1 packages do not start what they install.
	env := []string{"DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"}
	if err := h.run(ctx, tool{doing: "updating the package lists", env: env, name: "apt-get", args: []string{"update", "-q"}}); err != nil {
		return err
	}
	return h.run(ctx, tool{
		doing: "installing " + strings.Join(packages, " "), env: env, name: "apt-get",
		args: append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...),
	})
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
