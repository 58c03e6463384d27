package chaos

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// execution is one run of a task, as the task itself logged it.
type execution struct {
	n     int
	run   string // of the executor that started it
	pid   int
	began time.Time
	ended time.Time // zero when it did not end
}

// finished reports whether the task came to its end.
func (e execution) finished() bool { return !e.ended.IsZero() }

// readExecutions reads the execution log: by number, in the order they began.
func readExecutions(log io.Reader) (map[int][]execution, error) {
	out := map[int][]execution{}
	scanner := bufio.NewScanner(log)
	for line := 1; scanner.Scan(); line++ {
		e, err := parseExecution(scanner.Text())
		if err != nil {
			return nil, fmt.Errorf("reading line %d of the execution log: %w", line, err)
		}
		runs := out[e.n]
		if at := slices.IndexFunc(runs, e.sameAs); at >= 0 {
			runs[at] = e
			continue
		}
		out[e.n] = append(runs, e)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading the execution log: %w", err)
	}
	for _, runs := range out {
		slices.SortFunc(runs, func(a, b execution) int { return a.began.Compare(b.began) })
	}
	return out, nil
}

// sameAs reports whether both lines tell of one run.
func (e execution) sameAs(o execution) bool {
	return e.n == o.n && e.pid == o.pid && e.run == o.run && e.began.Equal(o.began)
}

// parseExecution reads "start NUMBER RUN PID BEGAN" and "end NUMBER RUN PID
// BEGAN ENDED".
func parseExecution(line string) (execution, error) {
	f := strings.Fields(line)
	if len(f) < 1 || len(f) != map[string]int{"start": 5, "end": 6}[f[0]] {
		return execution{}, fmt.Errorf("%q is neither a start nor an end", line)
	}
	numbers := make([]int64, len(f))
	for i := 1; i < len(f); i++ {
		if i == 2 {
			continue
		}
		var err error
		if numbers[i], err = strconv.ParseInt(f[i], 10, 64); err != nil {
			return execution{}, fmt.Errorf("%q: %w", line, err)
		}
	}
	e := execution{n: int(numbers[1]), run: f[2], pid: int(numbers[3]), began: time.UnixMicro(numbers[4])}
	if f[0] == "end" {
		e.ended = time.UnixMicro(numbers[5])
	}
	return e, nil
}

// longestPause is the longest time in which no task ended, between the first
// and the last that did.
func longestPause(all map[int][]execution) time.Duration {
	var ends []time.Time
	for _, runs := range all {
		for _, e := range runs {
			if e.finished() {
				ends = append(ends, e.ended)
			}
		}
	}
	return longestGap(ends)
}

// longestGap is the longest time between two that follow each other.
func longestGap(times []time.Time) time.Duration {
	slices.SortFunc(times, time.Time.Compare)
	var longest time.Duration
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	return longest
}
