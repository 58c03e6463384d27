package activities

import (
	"math"
	"sync"
	"time"
)

// peak is the longest duration seen lately: it falls by half each peakHalf. The
// zero value has seen nothing.
type peak struct {
	mu      sync.Mutex
	longest time.Duration
	at      time.Time
}

const peakHalf = time.Minute

func (p *peak) observe(d time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d >= p.fallen(now) {
		p.longest, p.at = d, now
	}
}

func (p *peak) value(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fallen(now)
}

func (p *peak) fallen(now time.Time) time.Duration {
	return time.Duration(float64(p.longest) * math.Exp2(-float64(now.Sub(p.at))/float64(peakHalf)))
}
