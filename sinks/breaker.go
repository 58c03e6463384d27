package sinks

import (
	"errors"
	"sync"
	"time"

	"github.com/drakkar-go/drakkar/config"
)

// ErrBreakerOpen says that a sink was not tried because it failed too often in
// a row.
var ErrBreakerOpen = errors.New("the sink's circuit breaker is open")

// breakerState is closed (deliveries pass), open (none does) or half open (one
// does, the probe).
//
//	         threshold failures in a row
//	closed ─────────────────────────────► open
//	  ▲                                   │  ▲
//	  │ the probe succeeds       cooldown ▼  │ the probe fails
//	  └──────────────────────────────── half open
type breakerState string

const (
	breakerClosed   breakerState = "closed"
	breakerOpen     breakerState = "open"
	breakerHalfOpen breakerState = "half_open"
)

// verdict is what a delivery says about its sink.
type verdict uint8

const (
	// healthy: the sink took something, or refused payloads as such.
	healthy verdict = iota
	// failing: it took nothing.
	failing
	// unknown: the delivery was called off.
	unknown
)

// breaker spares a sink that is down. Only traffic moves it; there is no timer.
type breaker struct {
	cfg     config.CircuitBreaker
	changed func(breakerState)

	mu    sync.Mutex
	state breakerState
	// generation counts changes of state. A delivery carries the one it began
	// in, and a result of another generation is ignored: a delivery that was
	// under way when the breaker opened may end while it is half open, and
	// must not be taken for the probe.
	generation uint64
	failures   int // in a row, while closed
	openedAt   time.Time
	probing    bool
}

func newBreaker(cfg config.CircuitBreaker, changed func(breakerState)) *breaker {
	cfg.FailureThreshold = max(1, cfg.FailureThreshold)
	return &breaker{cfg: cfg, changed: changed, state: breakerClosed}
}

// enter asks to deliver. When the answer is no, wait is the time until the next
// probe, or 0 when one is under way.
func (b *breaker) enter() (generation uint64, wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()

	switch b.state {
	case breakerClosed:
		return b.generation, 0, true
	case breakerOpen:
		if wait := time.Until(b.openedAt.Add(b.cfg.Cooldown)); wait > 0 {
			return 0, wait, false
		}
		b.become(breakerHalfOpen)
	}
	if b.probing {
		return 0, 0, false
	}
	b.probing = true
	return b.generation, 0, true
}

// leave reports how a delivery that entered ended.
func (b *breaker) leave(generation uint64, v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if generation != b.generation {
		return
	}
	b.probing = false // closed has none; half open frees the place
	switch {
	case v == unknown:
	case v == healthy:
		b.failures = 0
		b.become(breakerClosed)
	case b.state == breakerHalfOpen:
		b.open()
	default:
		if b.failures++; b.failures >= b.cfg.FailureThreshold {
			b.open()
		}
	}
}

func (b *breaker) open() {
	b.openedAt = time.Now()
	b.failures = 0
	b.become(breakerOpen)
}

// become tells the change under the lock, so that the last state told is the
// state it is in.
func (b *breaker) become(s breakerState) {
	if b.state == s {
		return
	}
	b.state = s
	b.generation++
	b.changed(s)
}
