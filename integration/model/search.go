package model

import (
	"hash/maphash"
	"slices"
	"sync"
)

// space is what is searched: a state, and the steps that lead out of it. It is
// used by several goroutines at the same time.
type space interface {
	// first is where everything begins.
	first() state

	// next calls emit for every step that can be taken in a state.
	next(s *state, emit func(step, *state))

	// wrong says what is wrong with a state, if anything.
	wrong(s *state) string
}

// found is what a search has found.
type found struct {
	states   int
	steps    int // taken, many of them to states that were known
	depth    int
	wrong    string
	trace    []step // to what is wrong
	complete bool   // nothing is left within the bounds
}

// search goes through all states, those that are few steps away first, until
// one of them is wrong, or there are more than limit. What is wrong is so found
// on a shortest way.
func search(sp space, workers, limit int) found {
	v := newVisited()
	init := sp.first()
	v.add(v.hash(&init), 0)
	frontier := []state{init}
	f := found{states: 1}
	for len(frontier) > 0 && f.states < limit {
		parts := expand(sp, v, frontier, workers)
		frontier = frontier[:0:0]
		for _, p := range parts {
			f.steps += p.steps
			f.states += len(p.fresh)
			frontier = append(frontier, p.fresh...)
			if f.wrong == "" && p.wrong != "" {
				f.wrong, f.trace = p.wrong, v.trace(sp, p.bad)
			}
		}
		if len(frontier) > 0 {
			f.depth++
		}
		if f.wrong != "" {
			return f
		}
	}
	f.complete = len(frontier) == 0
	return f
}

// part is what one worker finds behind its share of a frontier.
type part struct {
	fresh []state
	steps int
	wrong string
	bad   uint64
}

func expand(sp space, v *visited, frontier []state, workers int) []part {
	chunks := slices.Collect(slices.Chunk(frontier, len(frontier)/workers+1))
	parts := make([]part, len(chunks))
	var wg sync.WaitGroup
	for n, chunk := range chunks {
		wg.Go(func() { parts[n].expand(sp, v, chunk) })
	}
	wg.Wait()
	return parts
}

func (p *part) expand(sp space, v *visited, chunk []state) {
	for i := range chunk {
		from := v.hash(&chunk[i])
		sp.next(&chunk[i], func(_ step, s *state) {
			p.steps++
			s.settle()
			h := v.hash(s)
			if !v.add(h, from) {
				return
			}
			p.fresh = append(p.fresh, *s)
			if p.wrong != "" {
				return
			}
			if p.wrong = sp.wrong(s); p.wrong != "" {
				p.bad = h
			}
		})
	}
}

// shards keep workers out of each other's way.
const shards = 64

// visited remembers states by a hash of 64 bits, and from which state each was
// reached. Two states of one hash would hide one of them: among ten million
// states the odds are 1 : 300,000.
type visited struct {
	seed   maphash.Seed
	shards [shards]struct {
		sync.Mutex

		from map[uint64]uint64
	}
}

func newVisited() *visited {
	v := &visited{seed: maphash.MakeSeed()}
	for i := range v.shards {
		v.shards[i].from = map[uint64]uint64{}
	}
	return v
}

func (v *visited) hash(s *state) uint64 { return maphash.Comparable(v.seed, *s) }

// add reports whether the state is new.
func (v *visited) add(h, from uint64) bool {
	shard := &v.shards[h%shards]
	shard.Lock()
	defer shard.Unlock()

	if _, known := shard.from[h]; known {
		return false
	}
	shard.from[h] = from
	return true
}

// trace returns the steps to a state: they are taken again, from the first.
func (v *visited) trace(sp space, h uint64) []step {
	var way []uint64
	for ; h != 0; h = v.shards[h%shards].from[h] {
		way = append(way, h)
	}
	slices.Reverse(way)

	var steps []step
	at, swapped := sp.first(), false
	for _, want := range way[1:] {
		here, reached := at, false
		sp.next(&here, func(st step, s *state) {
			swap := s.settle()
			if reached || v.hash(s) != want {
				return
			}
			if swapped {
				st.who = 1 - st.who
			}
			reached, at, swapped = true, *s, swapped != swap
			steps = append(steps, st)
		})
	}
	return steps
}
