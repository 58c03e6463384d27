package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// columns are the figures that have a column of their own.
var columns = []string{"ours", "against", "ratio", "median_ms", "p99_ms"}

// table writes the rows for people, and below them the figures without a column.
func table(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROW\tOURS\tAGAINST\tRATIO\tMEDIAN MS\tP99 MS\tBAR\tMET\tOTHERS' CORES")
	for _, r := range results {
		cells := []string{r.row.name}
		for _, name := range columns {
			cells = append(cells, cell(r.figures, name))
		}
		cells = append(cells, bars(r.row.bars), verdict(r), short(r.others))
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	fmt.Fprintln(w)
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s; against: %s; rounds: %d%s\n", r.row.name, r.row.work, r.row.against, r.rounds, more(r.figures))
	}
	return w.Flush()
}

func cell(f figures, name string) string {
	if value, ok := f[name]; ok {
		return short(value)
	}
	return "–"
}

func bars(all []bar) string {
	if len(all) == 0 {
		return "–"
	}
	out := make([]string, len(all))
	for i, b := range all {
		out[i] = b.String()
	}
	return strings.Join(out, ", ")
}

func verdict(r result) string {
	switch {
	case len(r.row.bars) == 0:
		return "told"
	case len(r.missed()) > 0:
		return "MISSED"
	default:
		return "yes"
	}
}

func more(f figures) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if !slices.Contains(columns, name) {
			fmt.Fprintf(&out, "; %s %s", name, short(f[name]))
		}
	}
	return out.String()
}

// short is a number with as many digits as mean anything.
func short(v float64) string {
	digits := 3
	switch a := math.Abs(v); {
	case a >= 100:
		digits = 0
	case a >= 10:
		digits = 1
	case a >= 1:
		digits = 2
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// object is the JSON of a run: rows by their names.
func object(results []result) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, r := range results {
		row := map[string]any{"rounds": r.rounds, "others_cores": rounded(r.others)}
		for name, value := range r.figures {
			row[name] = rounded(value)
		}
		if len(r.row.bars) > 0 {
			row["bar"], row["met"] = bars(r.row.bars), len(r.missed()) == 0
		}
		out[r.row.name] = row
	}
	return out
}

func rounded(v float64) float64 { return math.Round(v*10000) / 10000 }

// machine is what a measurement was made on.
type machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemoryGB int64  `json:"memory_gib"`
	System   string `json:"system"`
	Go       string `json:"go"`
}

func thisMachine() (machine, error) {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("asking for the machine: %w", err)
	}
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, fmt.Errorf("asking for the machine: %w", err)
	}
	bytes, err := parseKB(string(memory), "MemTotal:")
	if err != nil {
		return m, err
	}
	m.MemoryGB = bytes >> 30
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return m, fmt.Errorf("asking for the machine: %w", err)
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(kernel)), "-") // the rest is the machine owner's name for it
	m.System = runtime.GOOS + "/" + runtime.GOARCH + " " + version
	return m, nil
}

// keep appends a line to the results of releases.
func keep(dir, release string, o options, results []result) (err error) {
	m, err := thisMachine()
	if err != nil {
		return err
	}
	line, err := json.Marshal(map[string]any{
		"release": release, "date": time.Now().UTC().Format(time.DateOnly), "machine": m,
		"messages": o.messages, "rows": object(results),
	})
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of results: %w", err)
	}
	path := filepath.Join(dir, "results.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening the results: %w", err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("writing %s: %w", path, closeErr)
		}
	}()
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
