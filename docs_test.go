package drakkar_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/drakkartest"
	"github.com/drakkar-go/drakkar/exechandler"
)

// readmeLines is how long the README may get: it is read in one go.
const readmeLines = 230

// pages are the texts of the repository, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()

	out := map[string]string{}
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != "." && strings.HasPrefix(e.Name(), "."), e.IsDir() && e.Name() == "bin":
			return fs.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		data, err := os.ReadFile(path)
		out[filepath.ToSlash(path)] = string(data)
		return err
	})
	require.NoError(t, err)
	for _, want := range []string{"README.md", "DESIGN.md", "CHANGELOG.md", "docs/operating.md", "docs/tuning.md"} {
		require.Contains(t, out, want)
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestDocs_ReadmeIsShort(t *testing.T) {
	t.Parallel()

	lines := strings.Count(pages(t)["README.md"], "\n")
	require.LessOrEqual(t, lines, readmeLines)
}

var makeTarget = regexp.MustCompile("(?m)(?:^|[`(;&] ?|\\$ )make ([a-z]+(?:/[a-z]+)?)")

func TestDocs_MakeTargetsExist(t *testing.T) {
	t.Parallel()

	makefile := read(t, "Makefile")
	found := 0
	for path, text := range pages(t) {
		for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
			found++
			require.Regexp(t, `(?m)^`+regexp.QuoteMeta(m[1])+`:`, makefile, "%s names make %s", path, m[1])
		}
	}
	require.Greater(t, found, 5, "the test does not see the targets")
}

var (
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeInLine = regexp.MustCompile("`[^`\n]*`")
)

func TestDocs_LinksExist(t *testing.T) {
	t.Parallel()

	found := 0
	for path, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(codeInLine.ReplaceAllString(text, ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			found++
			file := path
			if target != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(path), target))
				_, err := os.Stat(file)
				require.NoError(t, err, "%s links to %s", path, m[1])
			}
			if anchor != "" {
				require.Contains(t, anchors(read(t, file)), anchor, "%s links to %s", path, m[1])
			}
		}
	}
	require.Greater(t, found, 10, "the test does not see the links")
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// anchors are the names of a page's headings, as GitHub makes them.
func anchors(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if ok && strings.HasPrefix(line, "#") {
			name := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			out = append(out, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return out
}

var testName = regexp.MustCompile(`\b((?:Test|Fuzz)[A-Z]\w*)((?:/\w+)*)`)

// A page that names a test as the proof of something names one that is there.
func TestDocs_TestsExist(t *testing.T) {
	t.Parallel()

	var source strings.Builder
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != "." && strings.HasPrefix(e.Name(), ".") {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(path, "_test.go") {
			source.WriteString(read(t, path))
		}
		return err
	})
	require.NoError(t, err)
	found := 0
	for path, text := range pages(t) {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			found++
			require.Contains(t, source.String(), "func "+m[1]+"(", "%s names %s", path, m[0])
			for sub := range strings.SplitSeq(strings.TrimPrefix(m[2], "/"), "/") {
				require.Contains(t, source.String(), sub, "%s names %s", path, m[0])
			}
		}
	}
	require.Greater(t, found, 20, "the test does not see the names")
}

// Code that pages show is that of an example, so that it compiles and runs.
func TestDocs_CodeIsThatOfExamples(t *testing.T) {
	t.Parallel()

	examples := map[string][]string{}
	for _, pattern := range []string{"examples/*/*.go", "examples/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, f := range files {
			kind := strings.TrimPrefix(filepath.Ext(f), ".")
			examples[kind] = append(examples[kind], read(t, f))
		}
	}
	found := 0
	for path, text := range pages(t) {
		for _, b := range blocks(text) {
			if len(examples[b.language]) == 0 {
				continue
			}
			found++
			shown := func(file string) bool { return strings.Contains(file, b.code) }
			require.True(t, slices.ContainsFunc(examples[b.language], shown),
				"%s shows %s code that no example holds:\n%s", path, b.language, b.code)
		}
	}
	require.GreaterOrEqual(t, found, 3, "the test does not see the code")
}

type block struct{ language, code string }

// blocks are the fenced blocks of a page.
func blocks(text string) []block {
	var out []block
	open := false
	for line := range strings.Lines(text) {
		fence, ok := strings.CutPrefix(line, "```")
		switch {
		case ok && !open:
			out, open = append(out, block{language: strings.TrimSpace(fence)}), true
		case ok:
			open = false
		case open:
			out[len(out)-1].code += line
		}
	}
	return out
}

func TestDocs_ExamplesLoad(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob("examples/*/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		cfg, warnings, err := config.Load(config.LoadOptions{Path: path})
		require.NoError(t, err)
		require.Empty(t, warnings, path)
		if cfg.Handler.Exec != nil {
			_, err = exechandler.New(*cfg.Handler.Exec, cfg.Executor.BinaryPath)
			require.NoError(t, err, path)
		}
	}
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// The pipeline in YAML does what its page says.
func TestDocs_ExecExample(t *testing.T) {
	t.Parallel()

	cfg, _, err := config.Load(config.LoadOptions{Path: "examples/exec/drakkar.yaml"})
	require.NoError(t, err)
	p, err := exechandler.New(*cfg.Handler.Exec, cfg.Executor.BinaryPath)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "-fruit") // a name that looks like an option
	require.NoError(t, os.WriteFile(file, []byte("apple\npear\nplum\npeach\n"), 0o600))
	ask := func(pattern, limit string) drakkartest.Input {
		value := `{"pattern": "` + pattern + `", "file": "` + file + `"` + limit + `}`
		return drakkartest.Message(value, drakkartest.Timestamp(noon))
	}
	rep := drakkartest.RunPipeline(t, p, ask("^p", ""), ask("^p", `, "limit": 1`), ask("cherry", ""), ask("[", ""))

	require.Len(t, rep.DeadLetters, 1, "the bad pattern")
	require.Equal(t, int64(3), rep.DeadLetters[0].Offset)
	require.Len(t, rep.Outputs.Kafka, 4)
	require.Len(t, rep.Outputs.Files, 4)
	var lines []string
	for i, k := range rep.Outputs.Kafka {
		var found struct {
			File string `json:"file"`
			Line string `json:"line"`
		}
		value, ok := k.Data.(drakkar.Bytes)
		require.True(t, ok, "%T", k.Data)
		require.NoError(t, json.Unmarshal(value, &found))
		require.Equal(t, file, found.File)
		lines = append(lines, found.Line)
		require.Equal(t, "2026-01-02.jsonl", rep.Outputs.Files[i].Path)
	}
	slices.Sort(lines)
	require.Equal(t, []string{"2:pear", "2:pear", "3:plum", "4:peach"}, lines)
}
