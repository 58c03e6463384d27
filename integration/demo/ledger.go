package demo

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// ledger knows what was asked and what came back, read from the topics alone.
type ledger struct {
	mu       sync.Mutex
	expected map[answer]bool // what was asked, true once it came back
	sent     int
	records  int // on the output topic
	doubles  int
	strange  int // answers to nothing that was asked
	letters  int
	began    time.Time
	waiting  map[string]chan time.Time // requests whose first answer is timed
}

// answer is one record of the output topic: the answer to one pattern of one
// request.
type answer struct {
	RequestID string `json:"request_id"`
	Pattern   string `json:"pattern"`
}

func newLedger() *ledger {
	return &ledger{expected: map[answer]bool{}, waiting: map[string]chan time.Time{}}
}

// ask notes a request before it is sent.
func (l *ledger) ask(r request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sent == 0 {
		l.began = time.Now()
	}
	l.sent++
	for _, p := range r.Patterns {
		l.expected[answer{RequestID: r.RequestID, Pattern: p}] = false
	}
}

// await yields the time at which the first answer to the request is read.
func (l *ledger) await(id string) <-chan time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan time.Time, 1)
	l.waiting[id] = c
	return c
}

// came notes a record of the output topic.
func (l *ledger) came(value []byte) error {
	var a answer
	if err := json.Unmarshal(value, &a); err != nil {
		return fmt.Errorf("decoding a record of the output topic: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records++
	came, asked := l.expected[a]
	switch {
	case !asked:
		l.strange++
	case came:
		l.doubles++
	default:
		l.expected[a] = true
	}
	if c, ok := l.waiting[a.RequestID]; ok {
		c <- time.Now()
		delete(l.waiting, a.RequestID)
	}
	return nil
}

// buried notes a record of the dead letter queue.
func (l *ledger) buried() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letters++
}

// Report is the demo's last line. Every figure is read back from the output
// topic, the dead letter queue and the group's committed offsets.
type Report struct {
	Messages          int     `json:"messages"`
	Delivered         int     `json:"delivered"`
	Lost              int     `json:"lost"`
	Duplicates        int     `json:"duplicates"`
	DeadLettered      int     `json:"dead_lettered"`
	Committed         int64   `json:"committed"`
	Tasks             int     `json:"tasks"`
	Seconds           float64 `json:"seconds"`
	MessagesPerSecond float64 `json:"messages_per_second"`

	// Of the mode --latency only, in milliseconds, from sending a message to
	// reading its first record on the output topic.
	LatencyMedian *float64 `json:"latency_median_ms,omitempty"`
	LatencyWorst  *float64 `json:"latency_worst_ms,omitempty"`
}

// OK reports whether nothing was lost, doubled or left uncommitted.
func (r Report) OK() bool {
	return r.Lost == 0 && r.Duplicates == 0 && r.Committed == int64(r.Messages)
}

// report is the state of things; committed is the sum of the group's offsets.
func (l *ledger) report(committed int64) Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Report{
		Messages: l.sent, Delivered: l.records, Duplicates: l.doubles + l.strange, DeadLettered: l.letters,
		Committed: committed,
	}
	for _, came := range l.expected {
		if came {
			r.Tasks++
		} else {
			r.Lost++
		}
	}
	// A task in the dead letter queue is not lost. Tasks still under way count
	// as lost until they arrive; the last line is written after the end.
	r.Lost = max(0, r.Lost-l.letters)
	if !l.began.IsZero() {
		r.Seconds = time.Since(l.began).Seconds()
		r.MessagesPerSecond = float64(committed) / r.Seconds
	}
	return r
}
