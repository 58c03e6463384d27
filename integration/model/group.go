package model

// group is what Kafka's group does: it gives the partition to a process, and
// takes it away.
func (w *world) group(s *state, emit emitter) {
	for who := range int8(processes) {
		if s.holder == none && s.owners[who].node == 0 {
			w.assign(s, who, emit)
		}
		if s.owners[who].node != 0 {
			w.leave(s, who, emit)
		}
	}
	if t := *s; s.holder != none && w.spend(&t, losses) {
		t.holder = none
		emit(step{what: timesOut, who: s.holder}, &t)
	}
}

func (w *world) assign(s *state, who int8, emit emitter) {
	t := *s
	if !w.spend(&t, rebalances) {
		return
	}
	t.holder = who
	t.owners[who] = ownership{node: w.code.start(int(who)), era: s.used[resets]}
	emit(step{what: assigns, who: who}, &t)
}

// leave ends an ownership: it is revoked, with a final commit; its process dies;
// or it notices that its session has timed out.
func (w *world) leave(s *state, who int8, emit emitter) {
	if s.holder != who {
		w.forget(*s, step{what: loses, who: who}, emit)
		return
	}
	t := *s
	t.holder = none
	u := t
	if v := w.code.view(s.owners[who].node); v.Running {
		w.commit(&u, v.Due)
	}
	w.forget(u, step{what: revokes, who: who}, emit)
	if w.spend(&t, crashes) {
		w.forget(t, step{what: dies, who: who}, emit)
	}
}

// forget ends an ownership. A start or a commit may be under way, and arrive
// when others have the partition; a final commit is not waited for longer than
// its bound either.
func (w *world) forget(t state, st step, emit emitter) {
	o := t.owners[st.who]
	t.owners[st.who] = ownership{}
	emit(st, &t)

	if t.stray.ask.Kind != Nothing || !w.spend(&t, lates) {
		return
	}
	for _, a := range w.underWay(o, t.used[expiries]) {
		u := t
		u.stray = stray{ask: a, era: o.era, begins: a.Kind == Commit && !w.code.view(o.node).Running}
		st.ask = a.Kind
		emit(st, &u)
	}
}

// underWay is what an ownership may have sent without an answer.
func (w *world) underWay(o ownership, expired int8) (asks []Ask) {
	v := w.code.view(o.node)
	if v.Ask.Kind == Commit && !o.fenced && expired == 0 {
		asks = append(asks, v.Ask)
	}
	if !v.Running {
		return asks
	}
	if !o.fenced {
		asks = append(asks, Ask{Kind: Commit, Position: v.Due})
	}
	if v.Ask.Kind == Nothing {
		for n := int8(1); n <= v.Queued; n++ {
			asks = append(asks, w.code.view(w.code.step(o.node, Event{Kind: Cut, A: n})).Ask)
		}
	}
	return asks
}
