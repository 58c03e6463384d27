package activities

import (
	"cmp"
	"time"

	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// batchWork is how much work a batch aims at: enough that the hops through
	// Temporal do not show, little enough to spread over workers and to lose
	// with one.
	batchWork = time.Second

	// batchBytes is how much of a batch's outputs and results a worker is to
	// hold: they leave it together, when the last task has ended.
	batchBytes = 32 << 20

	// quickTask is the duration below which tasks are cut for all slots of a
	// worker together, and not for one. What a batch costs Temporal, some ten
	// milliseconds of CPU, would otherwise show beside its tasks. Longer ones
	// are worth spreading over workers.
	quickTask = 150 * time.Millisecond

	// unknownTask is the duration of tasks before the first was observed.
	unknownTask = 50 * time.Millisecond

	// maxBatch bounds the tasks of a batch, and maxBatches the batches of a
	// plan: each costs about a dozen events of the window's history, and its
	// hooks and deliveries another dozen, which stays below 5,000.
	maxBatch   = 2000
	maxBatches = 128

	// maxCounts is what the counts of batches that travel together may take.
	// Batches of tasks which serve many messages each have long ones.
	maxCounts = 128 << 10
)

// cutWithin cuts tasks into batches whose counts have room in a result: the more
// messages each task serves, the fewer batches there are.
func cutWithin(specs []workflows.TaskSpec, perTask time.Duration, most int) [][]workflows.TaskSpec {
	for ; ; most /= 2 {
		parts := cut(specs, perTask, most)
		taken := 0
		for _, part := range parts {
			taken += counts(part).EncodedLen()
		}
		if taken <= maxCounts || len(parts) <= 1 || most <= 1 {
			return parts
		}
	}
}

// cut divides tasks into batches of about one second of work, about most of
// them at most. The tasks of one message stay together unless they are more
// than a batch, and those of a lane always; the order is kept but for that.
func cut(specs []workflows.TaskSpec, perTask time.Duration, most int) [][]workflows.TaskSpec {
	size := size(len(specs), perTask, most)
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
	for _, group := range groups(specs) {
		if work > 0 && work+cost(group) > size || len(batch)+len(group) > limit {
			flush()
		}
		if group[0].Lane != "" {
			batch, work = append(batch, group...), work+cost(group)
			continue
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

// pace is what one task takes of a batch's second, from the mean duration of
// tasks: the quicker they are, the more slots are reckoned to share it.
func pace(perTask time.Duration, slots int) time.Duration {
	if perTask <= 0 || perTask >= quickTask {
		return perTask
	}
	share := float64(perTask) / float64(quickTask)
	return max(1, perTask/time.Duration(slots), time.Duration(share*float64(perTask)))
}

// pace is that of the tasks seen so far, on a worker like this one. Where what
// they leave behind fills a batch sooner than their time, that counts.
func (a *Activities) pace() time.Duration {
	byTime := cmp.Or(pace(a.taskTime.value(), a.Pool.Stats().Slots), unknownTask)
	byBytes := time.Duration(float64(batchWork) * float64(a.taskBytes.value()) / batchBytes)
	return max(byTime, byBytes)
}

// size is how many tasks of that duration a batch takes, when there are n.
func size(n int, perTask time.Duration, most int) int {
	if perTask <= 0 {
		perTask = unknownTask
	}
	// Keeping messages together can leave batches half full, hence twice.
	least := (2*n + most - 1) / most
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

// groups are the tasks that belong together: those of a lane, or else of the
// same lowest message, in order of appearance.
func groups(specs []workflows.TaskSpec) [][]workflows.TaskSpec {
	type place struct {
		lane   string
		offset int64
	}
	var out [][]workflows.TaskSpec
	index := map[place]int{}
	for _, s := range specs {
		p := place{lane: s.Lane}
		if s.Lane == "" {
			p.offset = s.SourceOffsets[0]
		}
		i, ok := index[p]
		if !ok {
			i = len(out)
			index[p] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], s)
	}
	return out
}

// counts says how many of the tasks concern each message.
func counts(specs []workflows.TaskSpec) workflows.Counts {
	n := map[int64]int{}
	for _, s := range specs {
		for _, o := range s.SourceOffsets {
			n[o]++
		}
	}
	return workflows.CountsOf(n)
}
