package bench

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/drakkar-go/drakkar/integration/bench/handler"
)

// lengths are how long tasks take, with how many messages of each: work for ten
// seconds, or a few tasks for each slot. The shortest is told and not judged:
// Drakkar's own work for a message takes as long as the task.
var lengths = []struct {
	task     time.Duration
	messages int
}{
	{time.Millisecond, 40_000},
	{10 * time.Millisecond, 4_000},
	{100 * time.Millisecond, 400},
	{time.Second, 40},
	{10 * time.Second, 12},
	{time.Minute, 8},
}

// durations shows what the default settings make of short and of long tasks.
func durations() experiment {
	e := experiment{size: messagesDefault, rounds: 1}
	for _, l := range lengths {
		ours := through(l.task.String(), pipelineConfig{
			name: "tasks-of-" + l.task.String(), plan: handler.Plan{Sleep: l.task},
			warmUps: max(1, min(warmUps, l.messages/10)),
		})
		e.arms = append(e.arms, arm{ours.name, func(ctx context.Context, w *world, size int) (sample, error) {
			return ours.run(ctx, w, max(1, l.messages*size/messagesDefault))
		}})
	}
	e.rows = []row{{
		name: "durations", work: fmt.Sprintf("tasks that sleep for %s to %s, default settings", lengths[0].task, lengths[len(lengths)-1].task),
		against: "ideal", bars: []bar{atLeast("ratio", 0.9)},
		judge: func(r rounds) figures {
			f := figures{"ratio": math.Inf(1)}
			for i, l := range lengths {
				ratio := r.median(l.task.String(), rate) * l.task.Seconds() / slots
				f["ratio_of_"+l.task.String()] = ratio
				if i > 0 {
					f["ratio"] = min(f["ratio"], ratio)
				}
			}
			return f
		},
	}}
	return e
}
