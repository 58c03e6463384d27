package activities

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/workflows"
)

// keys are the keys of messages by offset when tasks are ordered by them, or
// else nothing. A message without key is not there.
func (a *Activities) keys(msgs []drakkar.Parsed) map[int64]string {
	if !a.cfg.OrderByKey {
		return nil
	}
	out := make(map[int64]string, len(msgs))
	for _, m := range msgs {
		if m.Record.Key != nil {
			out[m.Record.Offset] = string(m.Record.Key)
		}
	}
	return out
}

// lanes puts tasks of messages with the same key into a lane, in the order of
// their lowest message and, within one message, in the order of Arrange. A task
// that serves messages with several keys makes one lane of theirs: it must not
// overlap with the tasks of any. Tasks of messages without key have no lane.
func lanes(specs []workflows.TaskSpec, keys map[int64]string) []workflows.TaskSpec {
	if len(keys) == 0 {
		return specs
	}
	joined := joinedKeys(specs, keys)
	first := map[string]int64{} // the lowest message of a lane names it
	for o, k := range keys {
		k = joined.root(k)
		if f, ok := first[k]; !ok || o < f {
			first[k] = o
		}
	}
	for i := range specs {
		for _, o := range specs[i].SourceOffsets {
			if k, ok := keys[o]; ok {
				specs[i].Lane = strconv.FormatInt(first[joined.root(k)], 10)
				break
			}
		}
	}
	slices.SortStableFunc(specs, func(a, b workflows.TaskSpec) int {
		return cmp.Compare(a.SourceOffsets[0], b.SourceOffsets[0])
	})
	return specs
}

// joined leads from a key to another of the same lane.
type joined map[string]string

// joinedKeys joins the keys of each task.
func joinedKeys(specs []workflows.TaskSpec, keys map[int64]string) joined {
	j := joined{}
	for _, s := range specs {
		var lane *string
		for _, o := range s.SourceOffsets {
			k, ok := keys[o]
			if !ok {
				continue
			}
			root := j.root(k)
			if lane == nil {
				lane = &root
			} else if root != *lane {
				j[root] = *lane
			}
		}
	}
	return j
}

// root is the key that stands for the lane of k. On its way it shortens the way
// of the next who asks.
func (j joined) root(k string) string {
	next, ok := j[k]
	if !ok {
		return k
	}
	root := j.root(next)
	j[k] = root
	return root
}
