package model

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Code is what an exploration drives.
type Code struct {
	// Begin makes the machine of a fresh ownership of process who, which counts
	// from 0.
	Begin func(who int) Machine

	// Names are what machines take their names from.
	Names *Names

	// Finished reports whether metadata tells that a window is finished. Nil is
	// never.
	Finished func(meta Name, l Link) bool

	// ByFirstRecord breaks the protocol: ids of windows are the offset of their
	// first record, whatever their predecessor ends at.
	ByFirstRecord bool

	// AnyResult breaks it, too: an owner takes the result of whatever window is
	// in the place of one that it follows.
	AnyResult bool
}

// Result is what an exploration has found.
type Result struct {
	Bounds Bounds `json:"bounds"`

	// States were seen, by Steps steps; the last of them is Depth steps away
	// from the first.
	States int `json:"states"`
	Steps  int `json:"steps"`
	Depth  int `json:"depth"`

	// Machines are the different situations that the code was driven through.
	Machines int `json:"machines"`

	// Complete says that every state within the bounds was seen.
	Complete bool `json:"complete"`

	// Wrong says what is wrong with the last state of Trace; empty when all
	// states hold.
	Wrong string   `json:"wrong"`
	Trace []string `json:"trace,omitempty"`

	Seconds float64 `json:"seconds"`
}

// Explore goes through every state within the bounds, until one is wrong. The
// error is one of the bounds.
func Explore(b Bounds, c Code) (Result, error) {
	if err := b.validate(); err != nil {
		return Result{}, fmt.Errorf("checking the bounds: %w", err)
	}
	w := &world{
		bounds: b, limit: b.limits(), code: newProgram(c.Begin), names: c.Names,
		tells: c.Finished, byFirstRecord: c.ByFirstRecord, anyResult: c.AnyResult,
	}
	began := time.Now()
	f := search(w, b.Workers, b.States)
	r := Result{
		Bounds: b, States: f.states, Steps: f.steps, Depth: f.depth, Machines: len(w.code.known) - 1,
		Complete: f.complete, Wrong: f.wrong, Seconds: time.Since(began).Seconds(),
	}
	for _, st := range f.trace {
		r.Trace = append(r.Trace, st.text(c.Names))
	}
	return r, nil
}

// Holds reports whether no state is wrong.
func (r Result) Holds() bool { return r.Wrong == "" }

// Write writes the result for people, and in its last line as JSON.
func (r Result) Write(out io.Writer) error {
	for _, f := range r.Bounds.all() {
		fmt.Fprintf(out, "%-14s %8d  %s\n", f.name, *f.value, f.usage)
	}
	fmt.Fprintf(out, "\n%d states, %d steps, %d deep, %d situations of the code, %.1f s\n",
		r.States, r.Steps, r.Depth, r.Machines, r.Seconds)
	if !r.Holds() {
		fmt.Fprintf(out, "\n%s, after:\n", r.Wrong)
		for n, text := range r.Trace {
			fmt.Fprintf(out, "%4d  %s\n", n+1, text)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, r.verdict())
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

func (r Result) verdict() string {
	switch {
	case !r.Holds():
		return "result: a promise is broken"
	case !r.Complete:
		return "result: all states that were seen hold; there are more"
	default:
		return "result: all states hold"
	}
}
