package services

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sqliteModule is the driver of the databases of Temporal and FerretDB. Those
// that they come with, v1.34.1 and v1.32.0, lose a statement when a request ends
// while it runs; from then on every request can fail with "interrupted (9)".
const (
	sqliteModule  = "modernc.org/sqlite"
	sqliteVersion = "v1.61.1"
)

// goProgram is a service that is built from the module proxy, within a module
// of ours that pins what it is built with.
type goProgram struct {
	name    string            // of the binary
	title   string            // "FerretDB v1.24.2"
	require map[string]string // module path to version
	main    string            // the text of main.go; empty when pkg is not ours
	pkg     string            // what is built
	tags    string
}

// install builds the program into the home, if it is not there, and returns
// its path.
func (p goProgram) install(ctx context.Context, h Home) (binary string, err error) {
	binary = filepath.Join(h.Dir, "bin", p.name)
	return binary, h.locked(func() error {
		if p.built(binary) {
			return nil
		}
		if len(missing("go")) > 0 {
			return fmt.Errorf("%s is built by go build: %w", p.title, errors.New("go is not in PATH"))
		}
		return p.build(ctx, h, binary)
	})
}

// built reports whether the program is there, of the versions that it requires.
func (p goProgram) built(binary string) bool {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return false
	}
	has := map[string]string{info.Main.Path: info.Main.Version}
	for _, dep := range info.Deps {
		has[dep.Path] = dep.Version
	}
	for path, version := range p.require {
		if has[path] != version {
			return false
		}
	}
	return true
}

func (p goProgram) build(ctx context.Context, h Home, binary string) error {
	dir := filepath.Join(h.Dir, "build-"+p.name)
	if err := p.writeModule(dir); err != nil {
		return fmt.Errorf("building %s: %w", p.title, err)
	}
	made := filepath.Join(dir, p.name)
	err := h.run(ctx, tool{
		doing: "building " + p.title + ", which takes some minutes the first time",
		dir:   dir, name: "go", env: []string{"GOFLAGS=-mod=mod", "GOWORK=off"},
		args: []string{"build", "-buildvcs=false", "-tags", p.tags, "-o", made, p.pkg},
	})
	if err != nil {
		return err
	}
	if !p.built(made) { // or it would be built again at each start
		return fmt.Errorf("building %s: it was built with other modules than %v", p.title, p.require)
	}
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return fmt.Errorf("building %s: %w", p.title, err)
	}
	return os.Rename(made, binary)
}

// writeModule writes the module anew, so that nothing of other versions is left.
func (p goProgram) writeModule(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var mod strings.Builder
	fmt.Fprintf(&mod, "module %s\n\ngo 1.24\n\n", p.name)
	for _, path := range slices.Sorted(maps.Keys(p.require)) {
		fmt.Fprintf(&mod, "require %s %s\n", path, p.require[path])
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod.String()), 0o644); err != nil {
		return err
	}
	if p.main == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "main.go"), []byte(p.main), 0o644)
}
