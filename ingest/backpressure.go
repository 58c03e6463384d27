package ingest

// load is what waits: messages, and the bytes of their keys, values and
// headers.
type load struct{ messages, bytes int }

func (l load) plus(o load) load {
	return load{messages: l.messages + o.messages, bytes: l.bytes + o.bytes}
}

// hysteresis says when reading pauses and when it goes on. It pauses at high,
// in messages or bytes, and goes on at low, in both: the client throws away
// what it has prefetched at each pause, so pauses have to be rare.
type hysteresis struct {
	high, low load
	paused    bool
}

// update takes what waits now and reports whether reading is paused.
func (h *hysteresis) update(now load) bool {
	switch {
	case now.messages >= h.high.messages || now.bytes >= h.high.bytes:
		h.paused = true
	case now.messages <= h.low.messages && now.bytes <= h.low.bytes:
		h.paused = false
	}
	return h.paused
}
