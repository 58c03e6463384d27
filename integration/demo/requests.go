package demo

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// request is what the demo asks its pipeline: how often patterns occur in the
// Go files below a directory. It is the input of examples/search.
type request struct {
	RequestID string   `json:"request_id"`
	Patterns  []string `json:"patterns"`
	Dir       string   `json:"dir"`
}

// patterns are what requests look for. The last ones are found nowhere, which
// makes grep end with 1.
var patterns = []string{
	`func \(`, `return nil, err`, `sync\.Mutex`, `interface \{`, `TODO`, `panic\(`, `defer `,
	`go func`, `unsafe\.Pointer`, `//go:build`, `range `, `errors\.New`, `context\.Context`, `chan `,
	`fmt\.Errorf\(".*%w`, `[0-9]{4}-[0-9]{2}`, `zz[q]zz`, `no such line [i]n Go`,
}

// maxDirBytes keeps a single search short: some directories of the tree are a
// hundred times the size of others.
const maxDirBytes = 2 << 20

// searchable lists the directories below root that hold Go files.
func searchable(root string) ([]string, error) {
	sizes := map[string]int64{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		// A search goes down, so a file counts for each directory above it.
		for dir := filepath.Dir(path); len(dir) >= len(root); dir = filepath.Dir(dir) {
			sizes[dir] += info.Size()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the source tree below %s: %w", root, err)
	}
	var out []string
	for dir, size := range sizes {
		if size <= maxDirBytes {
			out = append(out, dir)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no Go files below %s: the demo searches Go's own source tree, which belongs to the Go toolchain", root)
	}
	return out, nil
}

// requests makes the n-th request: one to four different patterns in one
// directory.
type requests struct {
	run  string
	dirs []string
	rng  *rand.Rand
}

func newRequests(run, root string) (*requests, error) {
	dirs, err := searchable(filepath.Join(root, "src"))
	if err != nil {
		return nil, err
	}
	return &requests{run: run, dirs: dirs, rng: rand.New(rand.NewPCG(1, 2))}, nil //nolint:gosec // the same requests in every demo are what is wanted
}

func (r *requests) next(n int) (request, []byte, error) {
	req := request{
		RequestID: fmt.Sprintf("%s-%06d", r.run, n),
		Dir:       r.dirs[r.rng.IntN(len(r.dirs))],
	}
	for _, i := range r.rng.Perm(len(patterns))[:1+r.rng.IntN(4)] {
		req.Patterns = append(req.Patterns, patterns[i])
	}
	data, err := json.Marshal(req)
	if err != nil {
		return req, nil, fmt.Errorf("encoding a request: %w", err)
	}
	return req, data, nil
}

// goRoot is where Go's own source tree is.
func goRoot(env string) (string, error) {
	if _, err := os.Stat(filepath.Join(env, "src")); err != nil {
		return "", fmt.Errorf("GOROOT %q holds no src: %w", env, err)
	}
	return env, nil
}
