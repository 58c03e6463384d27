package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// debianPostgres is where Debian keeps the programs of each version, out of
// PATH.
const debianPostgres = "/usr/lib/postgresql/*/bin/initdb"

// InstallPostgres installs PostgreSQL when it is not there, which only root on
// Debian and its kin can, and returns the directory of its programs.
func InstallPostgres(ctx context.Context, h Home) (bin string, err error) {
	return bin, h.locked(func() error {
		if bin = findPostgres(); bin != "" {
			return nil
		}
		if err := h.ensure(ctx, requirement{
			service: "postgres", programs: []string{"initdb"}, packages: []string{"postgresql"},
			advice: "install a PostgreSQL server from version 15 on",
		}); err != nil {
			return err
		}
		if bin = findPostgres(); bin == "" {
			return errors.New("installing PostgreSQL: its package is there, and initdb is neither in PATH nor in " + debianPostgres)
		}
		return nil
	})
}

// findPostgres returns the directory of the newest version, or nothing.
func findPostgres() string {
	found, _ := filepath.Glob(debianPostgres) // the pattern is well formed
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return postgresVersion(a) - postgresVersion(b) })
		return filepath.Dir(newest)
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return ""
	}
	if target, err := filepath.EvalSymlinks(initdb); err == nil {
		initdb = target
	}
	return filepath.Dir(initdb)
}

// postgresVersion is the number in the path of a program, as Debian has it.
func postgresVersion(program string) int {
	version, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(program))))
	return version
}

// postgresUser is who runs the server: root must not.
func postgresUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is the user of this process
	}
	found, err := user.Lookup("postgres")
	if err != nil {
		found, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a user to run PostgreSQL, which refuses root: %w", err)
	}
	uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("looking for a user to run PostgreSQL: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// handOver gives files to the user and lets others pass through the directories
// above, as far as they are below the one for temporary files.
func handOver(to *syscall.Credential, paths ...string) error {
	for _, path := range paths {
		if err := os.Chown(path, int(to.Uid), int(to.Gid)); err != nil {
			return fmt.Errorf("giving PostgreSQL its files: %w", err)
		}
	}
	temp := filepath.Clean(os.TempDir()) + string(filepath.Separator)
	for dir := filepath.Dir(paths[0]); strings.HasPrefix(dir, temp); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("opening the way to PostgreSQL's files: %w", err)
		}
		if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
			return fmt.Errorf("opening the way to PostgreSQL's files: %w", err)
		}
	}
	return nil
}
