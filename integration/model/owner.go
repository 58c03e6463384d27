package model

import "math/bits"

// owner is what one ownership does next. Reading a position, the log's ends or
// a window is one step: what is read may be old by the time of the next step,
// which others may come before.
//
// So are starting a window, and committing, with their answers: until the
// answer comes the owner does nothing that it would not do with it, and what
// others do meanwhile, they may do before or behind. What is sent and never
// answered is a step of its own.
func (w *world) owner(s *state, who int8, emit emitter) {
	o := &s.owners[who]
	v := w.code.view(o.node)
	if v.Ask.Kind != Nothing {
		w.answer(s, who, v.Ask, emit)
	}
	if !v.Running {
		return
	}
	if v.Ask.Kind == Nothing {
		w.cut(s, who, v, emit)
	}
	w.poll(s, who, v, emit)
	for i := range v.Open {
		w.follow(s, who, v, i, emit)
	}
	if t := *s; v.Due != s.committed && w.accepts(&t, who) {
		w.commit(&t, v.Due)
		w.take(&t, who, Event{Kind: Accepted, A: v.Due.Offset})
		emit(step{what: commits, who: who, ok: true, a: v.Due.Offset, meta: v.Due.Meta}, &t)
	}
}

// accepts reports whether the group accepts a commit: from a former owner it
// may, for as long as it knows it.
func (w *world) accepts(t *state, who int8) bool {
	return t.holder == who || !t.owners[who].fenced && w.spend(t, lates)
}

// take hands an event to a program.
func (w *world) take(t *state, who int8, e Event) {
	t.owners[who].node = w.code.step(t.owners[who].node, e)
}

// answer answers what a program asked.
func (w *world) answer(s *state, who int8, a Ask, emit emitter) {
	t := *s
	st := step{what: asks, who: who, ask: a.Kind, link: a.Link}
	switch a.Kind {
	case Committed:
		st.a, st.meta = s.committed.Offset, s.committed.Meta
		t.owners[who].era = s.used[resets]
		w.take(&t, who, Event{Kind: Committed, A: st.a, Meta: st.meta})
	case Ends:
		st.a, st.b = s.low, w.end()
		w.take(&t, who, Event{Kind: Ends, A: st.a, B: st.b})
	case Describe:
		e := w.describe(s, a.Link)
		st.a, st.ok = e.A, e.OK
		w.take(&t, who, e)
	case Commit:
		w.begin(s, who, a, emit)
		return
	}
	emit(st, &t)
}

// begin commits what a program that prepares asks for.
func (w *world) begin(s *state, who int8, a Ask, emit emitter) {
	st := step{what: commits, who: who, a: a.Position.Offset, meta: a.Position.Meta}
	if s.holder != who {
		t := *s
		w.take(&t, who, Event{Kind: Commit})
		emit(st, &t)
	}
	st.ok = true
	if t := *s; (s.holder == who || s.used[expiries] == 0) && w.accepts(&t, who) {
		if s.holder != who {
			w.settleLog(&t)
		}
		w.commit(&t, a.Position)
		w.take(&t, who, Event{Kind: Commit, OK: true})
		emit(st, &t)
	}
	st.what, st.ask = hearsNothing, Commit
	if t := *s; s.stray.ask.Kind == Nothing && s.used[expiries] == 0 && !s.owners[who].fenced && w.spend(&t, unanswered) {
		t.stray = stray{ask: a, begins: true}
		w.take(&t, who, Event{Kind: Failed})
		emit(st, &t)
	}
}

func (w *world) describe(s *state, l Link) Event {
	if w.byFirstRecord {
		for l.Start < w.end() && w.log(s)&bit(l.Start) == 0 {
			l.Start++
		}
	}
	win := s.find(l)
	if win == nil {
		return Event{Kind: Describe}
	}
	return Event{
		Kind: Describe, OK: true, A: win.last, B: win.link.Start, Mask: win.published(), Flag: win.status == completed,
	}
}

// published is what a window tells of what is done: ranges, each of which begins
// behind the message before it. The last message is never told of: the window's
// result is what says so.
func (win *window) published() uint8 {
	var m uint8
	from := win.link.Start
	for o := win.link.Start; o < int8(bits.Len8(win.holds))-1; o++ {
		if win.holds&bit(o) == 0 {
			continue
		}
		if win.done&bit(o) != 0 {
			m |= within(from, o)
		}
		from = o + 1
	}
	return m
}

// cut starts a window of each size, whose answer may be lost.
func (w *world) cut(s *state, who int8, v *View, emit emitter) {
	for n := int8(1); n <= v.Queued; n++ {
		t := *s
		w.take(&t, who, Event{Kind: Cut, A: n})
		o := &t.owners[who]
		ask := w.code.view(o.node).Ask
		st := step{what: starts, who: who, link: ask.Link, a: ask.Last}
		if ask.Kind == Start { // else the program has said what it does not expect
			st.ok = t.put(ask, o.era)
		}
		if u := t; w.spend(&u, unanswered) {
			w.take(&u, who, Event{Kind: Failed})
			emit(step{what: hearsNothing, who: who, ask: Start, link: ask.Link, a: ask.Last}, &u)
		}
		w.take(&t, who, Event{Kind: Start, OK: st.ok})
		emit(st, &t)
	}
}

// poll reads the next record. A position that is not in the log any more is
// found out anew.
func (w *world) poll(s *state, who int8, v *View, emit emitter) {
	t := *s
	if v.Next < s.low {
		t.owners[who].node = w.code.start(int(who))
		emit(step{what: outOfRange, who: who}, &t)
		return
	}
	if o := w.record(s, v); o != none {
		w.take(&t, who, Event{Kind: Poll, A: o})
		emit(step{what: polls, who: who, a: o}, &t)
	}
}

// record is what an owner reads next, or none: it reads no further ahead than
// one window.
func (w *world) record(s *state, v *View) int8 {
	if int(v.Queued) >= w.bounds.Window {
		return none
	}
	for o := v.Next; o < w.end(); o++ {
		if w.log(s)&bit(o) != 0 {
			return o
		}
	}
	return none
}

// hurry takes the steps whose time does not matter: once the log does not
// change any more, its ends and records are the same whenever they are read.
func (w *world) hurry(t *state) {
	if !w.over(t, expiries) {
		return
	}
	for who := range int8(processes) {
		for w.hurried(t, who) {
		}
	}
}

func (w *world) hurried(t *state, who int8) bool {
	if t.owners[who].node == 0 {
		return false
	}
	v := w.code.view(t.owners[who].node)
	if v.Ask.Kind == Ends {
		w.take(t, who, Event{Kind: Ends, A: t.low, B: w.end()})
		return true
	}
	if !v.Running || v.Next < t.low || !w.over(t, compactions) {
		return false
	}
	o := w.record(t, v)
	if o != none {
		w.take(t, who, Event{Kind: Poll, A: o})
	}
	return o != none
}

// follow is what an owner learns of a window, and does about it.
func (w *world) follow(s *state, who int8, v *View, i int, emit emitter) {
	open := &v.Open[i]
	st := step{who: who, link: open.Link, a: open.Last}
	t := *s
	win := t.find(open.Link)
	switch {
	case win == nil && i > 0 && v.Open[i-1].Last == open.Link.Start-1 && s.find(v.Open[i-1].Link) == nil:
		return // the one before it comes first
	case win == nil:
		st.what = startsAgain
		w.again(&t, who, open)
	case win.last != open.Last && !w.anyResult:
		st.what = findsOther
		t.owners[who].node = w.code.start(int(who))
	case win.status == completed:
		st.what = learnsResult
		w.take(&t, who, Event{Kind: Finished, A: open.Link.Start})
	case win.status == terminated:
		st.what = resetsWindow
		win.status = running
	case win.published()&^open.Done != 0:
		st.what = learnsProgress
		w.take(&t, who, Event{Kind: Progress, A: open.Link.Start, Mask: win.published()})
	default:
		return
	}
	emit(st, &t)
}

// again starts a window that is gone as the same link, with what is not known
// to be done of it. When nothing is left it is over.
func (w *world) again(t *state, who int8, open *Window) {
	left := within(open.Link.Start, open.Last) & w.log(t) &^ open.Done
	if left == 0 {
		w.take(t, who, Event{Kind: Finished, A: open.Link.Start})
		return
	}
	t.put(Ask{Link: open.Link, Last: open.Last, Mask: left}, t.owners[who].era)
}
