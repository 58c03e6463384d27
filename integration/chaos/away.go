package chaos

import "time"

// ingestAway is the longest that a killed ingest kept messages waiting: from its
// death until a message that was sent later was worked on, in the partition
// where that took longest. Other faults at the same time count in.
func ingestAway(all map[int][]execution, source map[int]place, kills []event) time.Duration {
	var longest time.Duration
	for _, k := range kills {
		for _, began := range firstWork(all, source, k.at) {
			longest = max(longest, began.Sub(k.at))
		}
	}
	return longest
}

// firstWork says, for each partition, when the first message that was sent after
// a time was begun.
func firstWork(all map[int][]execution, source map[int]place, after time.Time) map[int32]time.Time {
	out := map[int32]time.Time{}
	for n, at := range source {
		if !at.sent.After(after) || len(all[n]) == 0 {
			continue
		}
		began, known := out[at.partition]
		if first := all[n][0].began; !known || first.Before(began) {
			out[at.partition] = first
		}
	}
	return out
}
