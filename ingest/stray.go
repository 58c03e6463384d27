package ingest

import (
	"context"
	"sync"
)

// stray notes that the position of a partition is not in the log any more,
// because retention or a truncation passed it. The partition is brought up anew:
// that adopts what is open and moves the position into the log. The client does
// not say which one it is, and does so once for each, so partitions are looked
// for until as many are found. It runs on the poll goroutine.
func (i *Ingest) stray() {
	i.strays++
	if i.checking {
		return // it looks again
	}
	i.checking = true
	i.work.Go(func() { i.findStrays(i.run) })
}

func (i *Ingest) findStrays(ctx context.Context) {
	for attempt := 1; ; attempt++ {
		l, done := i.look(), false
		if i.onPoll(ctx, func() error { done = i.bringBack(l); return nil }) != nil || done {
			return
		}
		if len(l.outside) == 0 && pause(ctx, backoff(attempt)) != nil {
			return
		}
	}
}

// look is what is known of the positions of the partitions that are read.
type look struct {
	outside []*partition // not in the log
	all     []*partition
	unsure  bool // some logs could not be asked for
}

// look compares all positions with the logs, each once and all at the same
// time: a log that cannot be asked for holds up no other.
func (i *Ingest) look() (l look) {
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, p := range i.owned() {
		if !p.running() {
			continue
		}
		asked.Go(func() {
			before := p.readUpTo()
			low, high, err := i.broker.of(p.topic).Ends(p.ctx, p.id)
			mu.Lock()
			defer mu.Unlock()

			switch {
			case p.ctx.Err() != nil: // it was let go meanwhile
				return
			case err != nil:
				l.unsure = true
			case before > high || p.readUpTo() < low:
				l.outside = append(l.outside, p)
			}
			l.all = append(l.all, p)
		})
	}
	asked.Wait()
	return l
}

// bringBack brings up what was found, and reports whether nothing is left to
// look for. When none is found although all logs were asked for, all partitions
// are brought up: one of them is not fetched any more.
func (i *Ingest) bringBack(l look) (done bool) {
	found := l.outside
	if len(found) == 0 && !l.unsure {
		found, i.strays = l.all, 0
	}
	for _, p := range found {
		i.reassign(p)
	}
	i.strays = max(0, i.strays-len(found))
	i.checking = i.strays > 0
	return !i.checking
}
