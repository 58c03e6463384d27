package bench

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// experiment is what is measured together: arms that take turns, and the rows of
// the table that are read from them.
type experiment struct {
	// size is the work of one run of an arm, in whatever it counts: messages,
	// or seconds. It belongs to the default of -messages and goes with it.
	size int

	// rounds bounds those of an experiment that takes minutes; 0 does not.
	rounds int

	arms []arm
	rows []row
}

// arm is one of the things that are compared.
type arm struct {
	name string
	run  func(ctx context.Context, w *world, size int) (sample, error)
}

// sample is what one run of an arm came to.
type sample struct {
	rate    float64 // per second
	ms      []float64
	figures map[string]float64
}

// row is a row of the table.
type row struct {
	name    string
	work    string
	against string
	bars    []bar
	judge   func(rounds) figures
}

// figures are what a row tells, by name: ours, against, ratio, median_ms, p99_ms
// and others.
type figures map[string]float64

// rounds are the samples of each round, by the names of arms.
type rounds []map[string]sample

// bar is what a figure must reach, or must not exceed.
type bar struct {
	figure  string
	value   float64
	atLeast bool
}

func atLeast(figure string, value float64) bar { return bar{figure, value, true} }

func atMost(figure string, value float64) bar { return bar{figure, value, false} }

func (b bar) String() string {
	sign := "≤"
	if b.atLeast {
		sign = "≥"
	}
	return fmt.Sprintf("%s %s %s", b.figure, sign, short(b.value))
}

func (b bar) met(f figures) bool {
	value, ok := f[b.figure]
	return ok && (b.atLeast && value >= b.value || !b.atLeast && value <= b.value)
}

// result is a row after it was measured.
type result struct {
	row     row
	figures figures
	rounds  int
	others  float64 // cores that were busy with what is not ours, in the mean
}

// missed are the bars that the row missed.
func (r result) missed() []string {
	var out []string
	for _, b := range r.row.bars {
		if !b.met(r.figures) {
			out = append(out, fmt.Sprintf("%s is %s, the bar is %s", b.figure, short(r.figures[b.figure]), b))
		}
	}
	return out
}

// each are a figure of all rounds.
func (r rounds) each(arm string, f func(sample) float64) []float64 {
	out := make([]float64, len(r))
	for i, round := range r {
		out[i] = f(round[arm])
	}
	return out
}

// median is the middle of a figure over the rounds.
func (r rounds) median(arm string, f func(sample) float64) float64 {
	return quantile(r.each(arm, f), 0.5)
}

func rate(s sample) float64 { return s.rate }

func figure(name string) func(sample) float64 {
	return func(s sample) float64 { return s.figures[name] }
}

// compare tells the rates of two arms. The ratio is the middle of those of the
// rounds: what disturbs the machine disturbs both arms of a round.
func compare(ours, against string) func(rounds) figures {
	return func(r rounds) figures {
		a, b := r.each(ours, rate), r.each(against, rate)
		ratios := make([]float64, len(r))
		for i := range r {
			ratios[i] = a[i] / b[i]
		}
		return figures{
			"ours": quantile(a, 0.5), "against": quantile(b, 0.5), "ratio": quantile(ratios, 0.5),
			"ratio_least": slices.Min(ratios), "ratio_most": slices.Max(ratios),
		}
	}
}

// also adds the rate of a further arm, and our ratio to it.
func also(judge func(rounds) figures, arm string) func(rounds) figures {
	return func(r rounds) figures {
		f := judge(r)
		name := strings.ReplaceAll(arm, "-", "_")
		f[name] = r.median(arm, rate)
		f[name+"_ratio"] = f["ours"] / f[name]
		return f
	}
}

// latencies tells those of an arm: the middle and the 99th percentile of all
// rounds together.
func latencies(r rounds, arm string) figures {
	var all []float64
	for _, round := range r {
		all = append(all, round[arm].ms...)
	}
	f := r.told(arm)
	f["median_ms"], f["p99_ms"], f["worst_ms"] = quantile(all, 0.5), quantile(all, 0.99), quantile(all, 1)
	return f
}

// told are the figures of an arm, the middle of the rounds each.
func (r rounds) told(arm string) figures {
	f := figures{}
	for name := range r[0][arm].figures {
		f[name] = r.median(arm, figure(name))
	}
	return f
}

// prefixed are figures under longer names.
func prefixed(prefix string, f figures) figures {
	out := figures{}
	for name, value := range f {
		out[prefix+name] = value
	}
	return out
}

func joined(all ...figures) figures {
	out := figures{}
	for _, f := range all {
		maps.Copy(out, f)
	}
	return out
}

// quantile is the value below which that part of the values lies. 0 when there
// are none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (sorted[high]-sorted[low])*(at-float64(low))
}
