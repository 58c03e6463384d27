package ingest

// load is what waits: messages, and the bytes of their keys, values and
// headers.
type load struct{ messages, bytes int }

func (l load) plus(o load) load {
	return load{messages: l.messages + o.messages, bytes: l.bytes + o.bytes}
}

func (l load) over(n int) load { return load{messages: l.messages / n, bytes: l.bytes / n} }

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

// portion is when one of n partitions pauses for the sake of the process: what
// fills the process may wait for a sink that is away, and partitions that have
// less than their portion are read on beside it. All portions together are low,
// so what waits stays below high and low together. An empty partition is read,
// however many there are.
func (h hysteresis) portion(n int) hysteresis {
	high := h.low.over(max(1, n))
	return hysteresis{high: load{max(1, high.messages), max(1, high.bytes)}, low: high.over(2)}
}
