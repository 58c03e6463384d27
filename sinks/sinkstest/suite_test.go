package sinkstest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
)

// Each promise is broken once, by a sink that is right but for it. A suite that
// does not notice is worth nothing.
func TestChecks_NoticeBrokenPromises(t *testing.T) {
	t.Parallel()

	broken := map[string]func(s *brokenSink){
		"BadPayloadIsAlone": func(s *brokenSink) {
			s.after = func(err error) error {
				if err != nil {
					return sinks.FailAll(5, sinks.Permanent, err)
				}
				return nil
			}
		},
		"CancelledContextIsTransient": func(s *brokenSink) {
			s.deliver = func(context.Context, []sinks.Payload) error {
				return sinks.FailAll(3, sinks.Permanent, errors.New("called off"))
			}
		},
		"CheckDoesNotWrite": func(s *brokenSink) {
			s.check = func() { _ = s.Memory.Deliver(context.Background(), []sinks.Payload{{ID: "probe"}}) }
		},
		"CloseTwice": func(s *brokenSink) {
			s.close = func(call int) error {
				if call == 2 {
					return errors.New("closed already")
				}
				return nil
			}
		},
		"ConcurrentDeliver": func(s *brokenSink) {
			s.deliver = func(ctx context.Context, batch []sinks.Payload) error {
				return s.Memory.Deliver(ctx, batch[1:])
			}
		},
		"DeliversByteForByte": func(s *brokenSink) {
			s.change = func(p *sinks.Payload) { p.Value = drakkar.Bytes(string([]rune(string(p.Value)))) }
		},
		"EmptyBatch": func(s *brokenSink) {
			s.deliver = func(context.Context, []sinks.Payload) error { return errors.New("nothing to do") }
		},
		"ErrorsKeepSecrets": func(s *brokenSink) {
			s.after = func(err error) error {
				if err != nil {
					return fmt.Errorf("postgres://drakkar:hunter2@db: %w", err)
				}
				return nil
			}
		},
		"KilledMidBatch": func(s *brokenSink) {
			s.after = func(error) error { return nil }
		},
		"ManyPayloads": func(s *brokenSink) {
			s.change = func(p *sinks.Payload) {
				if p.Source.Offset == 7_777 {
					p.ID = "orders~ab12/0/7776/m/0"
				}
			}
		},
		"OnlyBadPayloads": func(s *brokenSink) {
			s.after = func(err error) error {
				if err != nil {
					return errors.New("something was wrong")
				}
				return nil
			}
		},
		"Redelivery": func(s *brokenSink) {
			s.change = func(p *sinks.Payload) { p.ID += fmt.Sprint(s.Calls()) }
		},
		"SlowServer": func(s *brokenSink) {
			s.after = func(error) error { return nil }
		},
		"SurvivesRestart": func(s *brokenSink) {
			s.after = func(error) error { return nil }
		},
		"ValidateIsPure": func(s *brokenSink) {
			s.RefuseEarly(func(sinks.Payload) error { return errors.New("refused") })
		},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()

			breakIt := broken[c.name]
			require.NotNil(t, breakIt, "add a sink that breaks this promise")
			good := &brokenSink{Memory: NewMemory()}
			require.Empty(t, outcome(t, c, good), "a good sink passes")
			bad := &brokenSink{Memory: NewMemory()}
			breakIt(bad)
			require.NotEmpty(t, outcome(t, c, bad), "the check notices")
		})
	}
}

// brokenSink is a Memory that can be bent in many ways.
type brokenSink struct {
	*Memory
	deliver func(ctx context.Context, batch []sinks.Payload) error
	change  func(p *sinks.Payload)
	after   func(error) error
	check   func()
	close   func(call int) error

	mu     sync.Mutex
	closes int
}

func (s *brokenSink) Deliver(ctx context.Context, batch []sinks.Payload) error {
	if s.deliver != nil {
		return s.deliver(ctx, batch)
	}
	changed := make([]sinks.Payload, len(batch))
	for i, p := range batch {
		if s.change != nil {
			s.change(&p)
		}
		changed[i] = p
	}
	err := s.Memory.Deliver(ctx, changed)
	if s.after != nil {
		return s.after(err)
	}
	return err
}

func (s *brokenSink) Check(ctx context.Context) error {
	if s.check != nil {
		s.check()
	}
	return s.Memory.Check(ctx)
}

func (s *brokenSink) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closes++
	if s.close != nil {
		return s.close(s.closes)
	}
	return s.Memory.Close(ctx)
}

// outcome runs a check and returns what it complained about.
func outcome(t *testing.T, c check, s *brokenSink) []string {
	t.Helper()

	s.Refuse(func(p sinks.Payload) error {
		if p.Target == "bad" {
			return errors.New("bad target")
		}
		return nil
	})
	var resume func()
	h := Harness{
		Sink: s,
		Rows: func(T) [][]byte {
			var rows [][]byte
			for _, p := range s.Payloads() {
				rows = append(rows, p.Value)
			}
			return rows
		},
		Bad:     func(int) sinks.Payload { return sinks.Payload{Target: "bad"} },
		Secrets: []string{"hunter2"},
		Stall:   func(T) func() { return s.Stall() },
		Down:    func(T) { resume = s.Stall() },
		Up:      func(T) { resume() },
		Kill:    func(T) { s.FailNext(4, sinks.Transient, errors.New("killed")) },
		Restart: func(T) {},
	}
	spy := &spyT{ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(spy, Caps{Upserts: true, AnyBytes: true}, h)
	}()
	<-done
	return spy.complaints
}

// spyT is a T that records instead of failing.
type spyT struct {
	ctx        context.Context
	complaints []string
}

func (s *spyT) Errorf(format string, args ...any) {
	s.complaints = append(s.complaints, fmt.Sprintf(format, args...))
}

func (s *spyT) FailNow()                 { runtime.Goexit() }
func (s *spyT) Helper()                  {}
func (s *spyT) Context() context.Context { return s.ctx }

func (s *spyT) Skip(args ...any) {
	s.complaints = append(s.complaints, "skipped: "+fmt.Sprint(args...))
	runtime.Goexit()
}
