package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// fault is a kind of what is done to the pipeline.
type fault string

// The faults.
const (
	killIngest      fault = "kill-ingest"      // SIGKILL; started again
	killExecutor    fault = "kill-executor"    // SIGKILL; started again
	killTemporal    fault = "kill-temporal"    // SIGKILL; started again on its file
	killKafka       fault = "kill-kafka"       // SIGKILL; started again on its data
	stopIngest      fault = "stop-ingest"      // SIGSTOP for 20 s: its partitions pass to another
	scaleOut        fault = "scale-out"        // one more ingest or executor, which leaves again
	scaleIn         fault = "scale-in"         // an ingest or executor leaves, and comes back
	killStore       fault = "kill-store"       // SIGKILL of a store's database; started again on its data
	refuseSink      fault = "refuse-sink"      // the output topic refuses every record for 30 s
	terminateWindow fault = "terminate-window" // an open window is terminated in Temporal
)

// faults are all kinds, in the order of the report.
var faults = []fault{
	killIngest, killExecutor, killTemporal, killKafka, stopIngest, scaleOut, scaleIn, killStore, refuseSink, terminateWindow,
}

// place is where a message is in the source, and since when.
type place struct {
	partition int32
	offset    int64
	sent      time.Time
}

// String names the place as partition@offset.
func (p place) String() string { return fmt.Sprintf("%d@%d", p.partition, p.offset) }

// span is the range of a window.
type span struct {
	partition   int32
	first, last int64
}

func (s span) holds(p place) bool {
	return s.partition == p.partition && s.first <= p.offset && p.offset <= s.last
}

// event is something that was done, when it was.
type event struct {
	at     time.Time
	until  time.Time // when it was mended
	kind   fault
	target string // who or what it was done to: executor-2/1 is the first run of executor-2
	window span   // of terminate-window
}

// journal notes what is done to the pipeline while it is done. Its file is for
// people, and tells of a round that did not end.
type journal struct {
	mu     sync.Mutex
	file   *os.File
	events []event
	told   func(string)
}

func openJournal(path string, told func(string)) (*journal, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	return &journal{file: f, told: told}, nil
}

func (j *journal) close() error { return j.file.Close() }

// note adds an event and returns what notes its end.
func (j *journal) note(e event) (mended func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := len(j.events)
	j.events = append(j.events, e)
	j.write(e.at, string(e.kind), e.target)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.events[at].until = time.Now()
		j.write(j.events[at].until, string(e.kind)+" mended", e.target)
	}
}

// say adds a line that is no event.
func (j *journal) say(what, target string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.write(time.Now(), what, target)
}

func (j *journal) write(at time.Time, what, target string) {
	line, err := json.Marshal(map[string]string{"t": at.Format("2006-01-02T15:04:05.000"), "what": what, "target": target})
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil {
		j.told("writing the journal: " + err.Error())
	}
	j.told(fmt.Sprintf("%s %s %s", at.Format(clock), what, target))
}

// of are the events of a kind, in their order.
func (j *journal) of(kind fault) []event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.events), func(e event) bool { return e.kind != kind })
}

// counts says how often each kind was done.
func (j *journal) counts() map[fault]int {
	out := map[fault]int{}
	for _, k := range faults {
		if n := len(j.of(k)); n > 0 {
			out[k] = n
		}
	}
	return out
}

// killOf says when the run of an executor was killed.
func (j *journal) killOf(run string) (at time.Time, killed bool) {
	for _, e := range j.of(killExecutor) {
		if e.target == run {
			return e.at, true
		}
	}
	return time.Time{}, false
}
