package ingest

import "github.com/drakkar-go/drakkar/events"

// goCancelOld ends the open windows of the partition's other epochs, for as
// long as it takes, when a new epoch began and reset.cancel_old asks for it.
// Nothing waits for it: they would only do again what the new epoch does too.
func (i *Ingest) goCancelOld(p *partition, pl plan) {
	if !i.opt.CancelOld || pl.newEpoch == "" {
		return
	}
	i.work.Go(func() {
		for attempt := 1; ; attempt++ {
			n, err := i.opt.Temporal.CancelOld(p.ctx, pl.chain)
			if n > 0 {
				i.events.Record(events.OldWindowsCancelled{At: p.at(pl.read), Epoch: pl.chain.Epoch, Windows: n})
			}
			if err == nil {
				p.problem(problemOld, "")
				return
			}
			if p.ctx.Err() != nil {
				return
			}
			i.report(p, failure{key: problemOld, doing: "ending windows of former epochs", err: err})
			if pause(p.ctx, backoff(attempt)) != nil {
				return
			}
		}
	})
}
