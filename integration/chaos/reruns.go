package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// aftermath is how long after Temporal's return a repetition is still a
// consequence of its absence: heartbeats that were not heard time out.
const aftermath = 30 * time.Second

// heartbeat is how often an executor tells of a batch, and is told whether it is
// still wanted.
const heartbeat = time.Second

// reruns are repetitions of tasks, by cause.
type reruns struct {
	// finished had ended, and nothing excuses that they ran again.
	finished int
	// running were under way when their executor was killed, or had ended so
	// short before that no heartbeat could say so.
	running int
	// temporal fall into an absence of Temporal, which was not told their end.
	temporal int
	// terminated belong to a window that was terminated while they were under
	// way, or had ended so short before.
	terminated int

	// longest is the most time between an executor's death and the repetition
	// of what it was doing.
	longest time.Duration

	// told is a line for each, for the round's logs.
	told []string
}

// judge knows what may make a task run again.
type judge struct {
	// unrecorded is how long before a death a task may have ended without a
	// heartbeat that says so.
	unrecorded time.Duration
	journal    *journal
	source     map[int]place
}

// all says why each task that ran more than once did.
func (j judge) all(all map[int][]execution) reruns {
	var out reruns
	for _, n := range slices.Sorted(maps.Keys(all)) {
		runs := all[n]
		for i := 1; i < len(runs); i++ {
			cause := j.cause(runs[i-1], runs[i])
			out.add(cause)
			if at, killed := j.journal.killOf(runs[i-1].run); killed && cause == wasRunning {
				out.longest = max(out.longest, runs[i].began.Sub(at))
			}
			out.told = append(out.told, fmt.Sprintf("%s: %d at %s, %s of %s, again at %s on %s",
				cause, n, j.source[n], state(runs[i-1]), runs[i-1].run, runs[i].began.Format(clock), runs[i].run))
		}
	}
	return out
}

const clock = "15:04:05.000"

func state(e execution) string {
	if e.finished() {
		return "ended at " + e.ended.Format(clock)
	}
	return "began at " + e.began.Format(clock)
}

// cause is why a task ran again.
type cause string

const (
	wasFinished   cause = "finished"
	wasRunning    cause = "running"
	wasTemporal   cause = "temporal"
	wasTerminated cause = "terminated"
)

func (r *reruns) add(c cause) {
	switch c {
	case wasRunning:
		r.running++
	case wasTemporal:
		r.temporal++
	case wasTerminated:
		r.terminated++
	default:
		r.finished++
	}
}

// cause judges one repetition. An executor's death comes first: what it
// explains, nothing else has to.
func (j judge) cause(before, again execution) cause {
	if at, killed := j.journal.killOf(before.run); killed && j.lostWith(before, at) {
		return wasRunning
	}
	for _, e := range j.journal.of(killTemporal) {
		if j.untold(before, again, e) {
			return wasTemporal
		}
	}
	for _, e := range j.journal.of(terminateWindow) {
		if e.window.holds(j.source[before.n]) && j.unheard(before, e) && again.began.After(e.at) {
			return wasTerminated
		}
	}
	return wasFinished
}

// lostWith reports whether the run was under way at that time, or had ended too
// short before for anybody to know.
func (j judge) lostWith(before execution, at time.Time) bool {
	return !before.finished() || at.Sub(before.ended) <= j.unrecorded
}

// unheard reports whether the run was under way when its window was terminated,
// or began before its executor could hear of it. When Temporal did so between
// the call and its answer, nobody knows.
func (j judge) unheard(before execution, e event) bool {
	return before.began.Before(e.until.Add(heartbeat)) && j.lostWith(before, e.at)
}

// untold reports whether Temporal was away when the run ended, or when its
// repetition began, or had been shortly before.
func (j judge) untold(before, again execution, e event) bool {
	away := func(t time.Time) bool {
		return t.After(e.at.Add(-j.unrecorded)) && (e.until.IsZero() || t.Before(e.until.Add(aftermath)))
	}
	return before.finished() && away(before.ended) || away(again.began)
}
