package sinkstest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
)

// report gathers what became of the promises of one sink.
type report struct {
	caps Caps

	mu       sync.Mutex
	outcomes []Outcome
}

func newReport(caps Caps) *report { return &report{caps: caps} }

// add notes a promise that was kept, or waived for a reason.
func (r *report) add(c check, waived string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes = append(r.outcomes, Outcome{Name: c.name, Promise: c.promise, Waived: waived})
}

// end reports, unless a check failed, or was not run or skipped by others: then
// nothing is known.
func (r *report) end(t *testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.caps.Report == nil || t.Failed() || len(r.outcomes) != len(checks) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.caps.NotShown)) {
		r.outcomes = append(r.outcomes, Outcome{Name: name, Waived: r.caps.NotShown[name]})
	}
	slices.SortStableFunc(r.outcomes, func(a, b Outcome) int { return cmp.Compare(a.Name, b.Name) })
	r.caps.Report(t, r.outcomes)
}

// observedT is a T that keeps why a check was skipped.
type observedT struct {
	*testing.T

	waived string
}

// Skip implements T.
func (t *observedT) Skip(args ...any) {
	t.Helper()
	t.waived = fmt.Sprint(args...)
	t.T.Skip(args...)
}
