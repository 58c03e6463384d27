package model

import (
	"math/bits"
	"slices"
)

// world is the space of an exploration.
type world struct {
	bounds Bounds
	limit  [budgets]int8
	code   *program
	names  *Names
	tells  func(meta Name, l Link) bool

	// byFirstRecord breaks the protocol: the id of a window is the offset of
	// its first record, not the end of its predecessor.
	byFirstRecord bool

	// anyResult breaks it, too: an owner takes the result of whatever window is
	// in the place of one that it follows.
	anyResult bool
}

func (w *world) first() state {
	s := state{committed: Position{Offset: none}, holder: none}
	for o := range s.allowed {
		s.allowed[o] = 1
	}
	return s
}

func (w *world) end() int8 { return int8(w.bounds.Messages) }

// log is the mask of the records that are in the log.
func (w *world) log(s *state) uint8 { return within(s.low, w.end()-1) &^ s.gone }

// over reports whether something cannot happen any more.
func (w *world) over(s *state, b budget) bool {
	return s.used[b] >= w.limit[b] || s.used[troubles] >= w.limit[troubles]
}

// spend takes one from a budget; false when it is used up.
func (w *world) spend(s *state, b budget) bool {
	if b != rebalances && w.over(s, b) || s.used[b] >= w.limit[b] {
		return false
	}
	s.used[b]++
	if b != rebalances {
		s.used[troubles]++
	}
	return true
}

// emitter is told about each step and the state it leads to.
type emitter func(step, *state)

// next implements space.
func (w *world) next(s *state, emit func(step, *state)) {
	w.all(s, func(st step, t *state) {
		w.hurry(t)
		emit(st, t)
	})
}

func (w *world) all(s *state, emit emitter) {
	w.group(s, emit)
	w.operator(s, emit)
	w.nature(s, emit)
	for i := range s.windows {
		if s.windows[i].status != absent {
			w.window(s, i, emit)
		}
	}
	if s.stray.ask.Kind != Nothing {
		w.land(s, emit)
	}
	for who := range int8(processes) {
		if s.owners[who].node != 0 {
			w.owner(s, who, emit)
		}
	}
}

// operator sets the group's offset back. Kafka allows it while the group has no
// members, so what its former members still send is refused afterwards. Some
// tools leave metadata where it is.
//
// An offset at which a window was deleted is left out: the window is what would
// have told that the epoch of that offset was used.
func (w *world) operator(s *state, emit emitter) {
	for to := s.low; s.holder == none && to < s.committed.Offset; to++ {
		if s.holeAt(to) {
			continue
		}
		t := *s
		if !w.spend(&t, resets) {
			return
		}
		if t.stray.ask.Kind == Commit {
			t.stray = stray{}
		}
		for i := range t.owners {
			t.owners[i].fenced = t.owners[i].node != 0
		}
		for o := to; o < w.end(); o++ {
			t.redo[o] = t.used[resets]
			t.allowed[o]++
		}
		t.finished &^= within(to, maxMessages)
		t.committed.Offset = to
		emit(step{what: operatorKeeps, a: to}, &t)
		t.committed.Meta = 0
		emit(step{what: operatorResets, a: to}, &t)
	}
}

// nature is what Kafka does to its log.
func (w *world) nature(s *state, emit emitter) {
	if t := *s; s.low < w.end() && w.spend(&t, expiries) {
		t.low++
		if t.stray.begins {
			t.stray = stray{}
		}
		emit(step{what: expires, a: s.low}, &t)
	}
	// The last record is never compacted.
	for o := s.low; o < w.end()-1; o++ {
		if t := *s; s.gone&bit(o) == 0 && w.spend(&t, compactions) {
			t.gone |= bit(o)
			emit(step{what: compacts, a: o}, &t)
		}
	}
}

// settleLog ends what retention does: a former owner has begun an epoch.
func (w *world) settleLog(t *state) { t.used[expiries] = w.limit[expiries] }

// window is what a workflow does by itself, and what is done to it.
func (w *world) window(s *state, i int, emit emitter) {
	win := &s.windows[i]
	if win.status == running {
		w.work(s, i, emit)
		if t := *s; w.spend(&t, terminations) {
			t.windows[i].status = terminated
			emit(step{what: terminates, link: win.link, a: win.last}, &t)
		}
	}
	// Those of before a reset tell which epochs were used; nobody follows them.
	if t := *s; win.era == s.used[resets] && w.spend(&t, deletions) {
		t.delete(i, win.status == completed && w.known(s, win.link))
		emit(step{what: deletes, link: win.link, a: win.last}, &t)
	}
}

// known reports whether everybody knows that a window is finished, now and in
// future: what is committed says so, and whoever is at work says so and does not
// follow it.
// It does not run again then, even if it is gone.
func (w *world) known(s *state, l Link) bool {
	if w.tells == nil || !w.tells(s.committed.Meta, l) || s.stray.ask.Kind != Nothing {
		return false
	}
	for who := range s.owners {
		n := s.owners[who].node
		if n == 0 {
			continue
		}
		v := w.code.view(n)
		follows := slices.ContainsFunc(v.Open, func(o Window) bool { return o.Link == l })
		if int8(who) != s.holder || follows || !w.tells(v.Due.Meta, l) {
			return false
		}
	}
	return true
}

// delete makes a window vanish. Unless it is known to be finished, where it ended
// is not known to those who have not adopted it: what they start in its place
// may end elsewhere, so from there on windows of the epoch may overlap, and
// messages run once more.
func (s *state) delete(i int, known bool) {
	win := &s.windows[i]
	for o := win.link.Start; o < maxMessages && !known; o++ {
		s.allowed[o]++
	}
	s.holes[s.used[deletions]-1] = win.link
	s.windows[i] = window{}
	s.sort()
}

// work finishes a message of a window. That it is published at once leaves
// nothing out: for everybody else, a message that is finished and not published
// is one that is not finished yet.
func (w *world) work(s *state, i int, emit emitter) {
	win := &s.windows[i]
	for m := win.holds &^ win.done; m != 0; m &= m - 1 {
		t := *s
		o := int8(bits.TrailingZeros8(m))
		t.finish(&t.windows[i], o)
		emit(step{what: finishes, link: win.link, a: win.last, b: o}, &t)
	}
}

func (s *state) finish(win *window, o int8) {
	win.done |= bit(o)
	if win.done == win.holds {
		win.status = completed
	}
	s.allowed[o]--
	if win.era >= s.redo[o] {
		s.finished |= bit(o)
	}
}

// land is the arrival of what nobody waits for any more.
func (w *world) land(s *state, emit emitter) {
	t := *s
	t.stray = stray{}
	a := s.stray.ask
	if a.Kind == Start {
		t.put(a, s.stray.era)
		emit(step{what: startArrives, link: a.Link, a: a.Last}, &t)
		return
	}
	if s.stray.begins {
		w.settleLog(&t)
	}
	w.commit(&t, a.Position)
	emit(step{what: commitArrives, a: a.Position.Offset, meta: a.Position.Meta}, &t)
}

// commit moves the committed offset. Messages that are in the log, or in a
// window, are lost when it passes them before they are finished. A window in
// the place of one that was deleted may hold what compaction has removed and
// nobody has to do.
func (w *world) commit(t *state, p Position) {
	t.committed = p
	wanted := w.log(t)
	for i := range t.windows {
		if win := &t.windows[i]; win.status != absent && !t.behindHole(win.link) {
			wanted |= win.holds & t.current(win.era)
		}
	}
	t.lost |= wanted & within(0, p.Offset-1) &^ t.finished
}

// current are the messages that had to be done last in an era, or before it.
func (s *state) current(era int8) (m uint8) {
	for o, redo := range s.redo {
		if era >= redo {
			m |= bit(int8(o))
		}
	}
	return m
}
