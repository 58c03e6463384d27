package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// memoryEvery is how often resident memory is read.
const memoryEvery = 250 * time.Millisecond

// lag lets messages wait before the processes are started, and reads their
// memory until all are committed.
func (p *pipeline) lag(ctx context.Context, count int) (sample, error) {
	if err := p.send(ctx, count); err != nil {
		return sample{}, err
	}
	began := time.Now()
	if err := p.start(); err != nil {
		return sample{}, err
	}
	ended := make(chan struct{})
	read := make(chan memory, 1)
	go func() { read <- p.watchMemory(ended) }()
	err := p.awaitCommitted(ctx)
	took := time.Since(began)
	close(ended)
	m := <-read
	if err = errors.Join(err, m.err); err != nil {
		return sample{}, fmt.Errorf("reading what waits: %w", err)
	}
	if err := p.verify(ctx, p.sent-count); err != nil {
		return sample{}, err
	}
	return sample{rate: float64(count) / took.Seconds(), figures: map[string]float64{
		"ingest_mib": slices.Max(m.ingest), "executor_mib": slices.Max(m.executor),
		"growth": max(growth(m.ingest), growth(m.executor)),
	}}, nil
}

// memory is the resident memory of ingest and of the largest executor over a
// run, in MiB.
type memory struct {
	ingest, executor []float64
	err              error
}

func (p *pipeline) watchMemory(ended <-chan struct{}) (m memory) {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		var read []float64
		for _, member := range p.members {
			bytes, err := readMemory(member.PID())
			if err != nil {
				return memory{err: err}
			}
			read = append(read, float64(bytes)/mib)
		}
		m.ingest, m.executor = append(m.ingest, read[0]), append(m.executor, slices.Max(read[1:]))
		select {
		case <-tick.C:
		case <-ended:
			return m
		}
	}
}

// growth compares the last quarter of a run with the second one, the first being
// that in which caches fill: 1 is flat.
func growth(values []float64) float64 {
	quarter := len(values) / 4
	if quarter == 0 {
		return 1
	}
	early, late := mean(values[quarter:2*quarter]), mean(values[len(values)-quarter:])
	return math.Round(late/early*1000) / 1000
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
