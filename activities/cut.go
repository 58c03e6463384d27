package activities

import (
	"time"

	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// batchWork is how much work a batch aims at: enough that the hops through
	// Temporal do not show, little enough to spread over workers and to lose
	// with one.
	batchWork = time.Second

	// unknownTask is the duration of tasks before the first was observed.
	unknownTask = 50 * time.Millisecond

	// maxBatch bounds the tasks of a batch, and maxBatches the batches of a
	// window: each costs about a dozen events of its history, which stays
	// below 5,000.
	maxBatch   = 2000
	maxBatches = 200
)

// cut divides tasks into batches of about one second of work. The tasks of one
// message stay together unless they are more than a batch; the order is kept
// but for that.
func cut(specs []workflows.TaskSpec, perTask time.Duration) [][]workflows.TaskSpec {
	size := size(len(specs), perTask)
	limit := max(size, maxBatch)
	var out [][]workflows.TaskSpec
	var batch []workflows.TaskSpec
	work := 0
	flush := func() {
		if len(batch) > 0 {
			out = append(out, batch)
			batch, work = nil, 0
		}
	}
	for _, group := range byMessage(specs) {
		if work > 0 && work+cost(group) > size || len(batch)+len(group) > limit {
			flush()
		}
		for _, s := range group {
			c := cost([]workflows.TaskSpec{s})
			if work > 0 && work+c > size || len(batch) >= limit {
				flush()
			}
			batch = append(batch, s)
			work += c
		}
	}
	flush()
	return out
}

// size is how many tasks of that duration a batch takes, when there are n.
func size(n int, perTask time.Duration) int {
	if perTask <= 0 {
		perTask = unknownTask
	}
	// Keeping messages together can leave batches half full, hence twice.
	least := 2 * n / maxBatches
	return max(1, least, min(int(batchWork/perTask), maxBatch))
}

// cost is what tasks take of a batch. A precomputed one takes nothing.
func cost(specs []workflows.TaskSpec) int {
	n := 0
	for _, s := range specs {
		if s.Precomputed == nil {
			n++
		}
	}
	return n
}

// byMessage groups tasks by their lowest message, in order of appearance.
func byMessage(specs []workflows.TaskSpec) [][]workflows.TaskSpec {
	var out [][]workflows.TaskSpec
	index := map[int64]int{}
	for _, s := range specs {
		o := s.SourceOffsets[0]
		i, ok := index[o]
		if !ok {
			i = len(out)
			index[o] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], s)
	}
	return out
}

// counts says how many of the tasks concern each message, in order of
// appearance.
func counts(specs []workflows.TaskSpec) []workflows.Count {
	var out []workflows.Count
	index := map[int64]int{}
	for _, s := range specs {
		for _, o := range s.SourceOffsets {
			i, ok := index[o]
			if !ok {
				i = len(out)
				index[o] = i
				out = append(out, workflows.Count{Offset: o})
			}
			out[i].N++
		}
	}
	return out
}
