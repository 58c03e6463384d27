package chaos

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	shortestTask = 20 * time.Millisecond
	longestTask  = 200 * time.Millisecond
)

// moment is a fault that is to come.
type moment struct {
	after time.Duration // from the start of the stream
	kind  fault
	pick  uint64        // chooses whom it befalls
	rest  time.Duration // how long until who was killed comes back
}

// schedule draws the faults of a round: each kind once, and more of them at
// random, at random moments of the first nine tenths of the stream. The same
// seed, kinds, number and stream make the same schedule.
func schedule(seed uint64, kinds []fault, n int, stream time.Duration) []moment {
	rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a seed that repeats a round is what is wanted
	if len(kinds) == 0 {
		return nil
	}
	out := make([]moment, max(n, len(kinds)))
	for i := range out {
		kind := kinds[i%len(kinds)]
		if i >= len(kinds) {
			kind = kinds[rng.IntN(len(kinds))]
		}
		out[i] = moment{
			after: stream/20 + time.Duration(rng.Int64N(int64(stream*17/20))),
			kind:  kind, pick: rng.Uint64(),
			rest: 200*time.Millisecond + time.Duration(rng.Int64N(int64(4*time.Second))),
		}
	}
	slices.SortStableFunc(out, func(a, b moment) int { return int(a.after - b.after) })
	return out
}

// orders draws how long the task of each message takes.
func orders(seed uint64, n int) []order {
	rng := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // see schedule
	out := make([]order, n)
	for i := range out {
		out[i] = order{N: i, MS: int((shortestTask + time.Duration(rng.Int64N(int64(longestTask-shortestTask)))).Milliseconds())}
	}
	return out
}
