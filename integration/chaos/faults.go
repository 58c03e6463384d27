package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/drakkar-go/drakkar/workflows"
)

const (
	// stopFor is how long an ingest is stopped: longer than its session, so
	// that its partitions pass to another.
	stopFor = 20 * time.Second

	// refuseFor is how long the output topic refuses records.
	refuseFor = 30 * time.Second

	// stayFor is how long a fleet stays larger, or smaller.
	stayFor = 15 * time.Second

	// findWithin is how long an open window is looked for, and how long what
	// breaks a service may be repeated while the service is away.
	findWithin = 2 * time.Minute
)

// breaker does what the schedule says.
type breaker struct {
	world    *world
	broker   *broker
	fleet    *fleet
	journal  *journal
	temporal client.Client
	results  string     // the output topic
	refusing sync.Mutex // one refusal at a time
	pipeline string
}

// do does one fault and returns when it is mended.
func (b *breaker) do(ctx context.Context, m moment) error {
	var err error
	switch m.kind {
	case killIngest:
		err = b.killMember(ctx, ingest, m)
	case killExecutor:
		err = b.killMember(ctx, executor, m)
	case killTemporal:
		err = b.killServer(ctx, b.world.temporal, m)
	case killKafka:
		err = b.killServer(ctx, b.world.kafka, m)
	case killStore:
		err = b.killServer(ctx, one(b.world.databases, m.pick), m)
	case stopIngest:
		err = b.stopMember(ctx, m)
	case scaleOut:
		err = b.scaleOut(ctx, m)
	case scaleIn:
		err = b.scaleIn(ctx, m)
	case refuseSink:
		err = b.refuse(ctx, m)
	case terminateWindow:
		err = b.terminate(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.kind, err)
	}
	return nil
}

func (b *breaker) killMember(ctx context.Context, r role, m moment) error {
	victim, err := b.fleet.await(ctx, r, m.pick)
	if err != nil {
		return err
	}
	defer b.fleet.release(victim)
	if err := victim.program.Kill(); err != nil {
		return err
	}
	mended := b.journal.note(event{at: time.Now(), kind: m.kind, target: victim.run()})
	pause(ctx, m.rest)
	if err := b.fleet.start(victim); err != nil {
		return err
	}
	mended()
	return nil
}

func (b *breaker) killServer(ctx context.Context, s *server, m moment) error {
	if s == nil {
		return errors.New("the service is not ours to kill")
	}
	var mended func()
	err := s.crash(ctx, m.rest, func(at time.Time) { mended = b.journal.note(event{at: at, kind: m.kind, target: s.name}) })
	if err != nil {
		return err
	}
	mended()
	return nil
}

// one is the server that pick chooses, nil when there is none.
func one(all []*server, pick uint64) *server {
	if len(all) == 0 {
		return nil
	}
	return all[pick%uint64(len(all))]
}

func (b *breaker) stopMember(ctx context.Context, m moment) error {
	victim, err := b.fleet.await(ctx, ingest, m.pick)
	if err != nil {
		return err
	}
	defer b.fleet.release(victim)
	mended := b.journal.note(event{at: time.Now(), kind: m.kind, target: victim.run()})
	if err := victim.program.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, stopFor)
	if err := victim.program.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	mended()
	return nil
}

// either is the role that a change of scale befalls.
func either(pick uint64) role {
	if pick>>32&1 == 0 {
		return ingest
	}
	return executor
}

func (b *breaker) scaleOut(ctx context.Context, m moment) error {
	more, err := b.fleet.add(either(m.pick))
	if err != nil {
		return err
	}
	mended := b.journal.note(event{at: time.Now(), kind: m.kind, target: more.run()})
	pause(ctx, stayFor)
	if err := b.fleet.retire(more); err != nil {
		return err
	}
	mended()
	return nil
}

func (b *breaker) scaleIn(ctx context.Context, m moment) error {
	victim, err := b.fleet.await(ctx, either(m.pick), m.pick)
	if err != nil {
		return err
	}
	defer b.fleet.release(victim)
	mended := b.journal.note(event{at: time.Now(), kind: m.kind, target: victim.run()})
	if err := b.fleet.leave(victim); err != nil {
		return err
	}
	pause(ctx, stayFor)
	if err := b.fleet.start(victim); err != nil {
		return err
	}
	mended()
	return nil
}

// refuse makes the broker refuse every record of the output topic.
func (b *breaker) refuse(ctx context.Context, m moment) error {
	b.refusing.Lock()
	defer b.refusing.Unlock()
	if err := eventually(ctx, findWithin, func() error { return b.broker.refuse(ctx, b.results) }); err != nil {
		return err
	}
	mended := b.journal.note(event{at: time.Now(), kind: m.kind, target: b.results})
	pause(ctx, refuseFor)
	mended() // from the first try on: it may have been done when its answer is lost
	return eventually(ctx, findWithin, func() error { return b.broker.take(ctx, b.results) })
}

// terminate terminates an open window. One that completes meanwhile is let go,
// and another taken. That none opens any more is a matter of the report.
func (b *breaker) terminate(ctx context.Context, m moment) error {
	err := eventually(ctx, findWithin, func() error {
		info, err := b.openWindow(ctx, m.pick)
		if err != nil {
			return err
		}
		at, id := time.Now(), info.GetExecution().GetWorkflowId()
		window, err := spanOf(info)
		if err != nil {
			return err
		}
		if err := b.temporal.TerminateWorkflow(ctx, id, "", "chaos"); err != nil {
			return err
		}
		b.journal.note(event{at: at, kind: m.kind, target: id, window: window})()
		return nil
	})
	if err != nil && ctx.Err() == nil {
		b.journal.say(string(m.kind)+" left out: "+err.Error(), "")
		return nil
	}
	return err
}

func (b *breaker) openWindow(ctx context.Context, pick uint64) (*workflow.WorkflowExecutionInfo, error) {
	res, err := b.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflows.WindowWorkflow),
	})
	if err != nil {
		return nil, err
	}
	var open []*workflow.WorkflowExecutionInfo
	for _, info := range res.GetExecutions() {
		if strings.HasPrefix(info.GetExecution().GetWorkflowId(), b.pipeline+"/") {
			open = append(open, info)
		}
	}
	if len(open) == 0 {
		return nil, fmt.Errorf("no window of %s is open", b.pipeline)
	}
	return open[pick%uint64(len(open))], nil
}

// spanOf reads the range of a window from its id,
// pipeline/topic/partition/epoch/start, and its memo.
func spanOf(info *workflow.WorkflowExecutionInfo) (span, error) {
	id := info.GetExecution().GetWorkflowId()
	parts := strings.Split(id, "/")
	if len(parts) < 5 {
		return span{}, fmt.Errorf("the id %q is not a window's", id)
	}
	parts = parts[len(parts)-3:]
	partition, err := strconv.ParseInt(parts[0], 10, 32)
	if err != nil {
		return span{}, fmt.Errorf("reading the partition of %q: %w", id, err)
	}
	s := span{partition: int32(partition)}
	if s.first, err = strconv.ParseInt(parts[2], 10, 64); err != nil {
		return span{}, fmt.Errorf("reading the start of %q: %w", id, err)
	}
	last := info.GetMemo().GetFields()[workflows.MemoLast]
	if err := converter.GetDefaultDataConverter().FromPayload(last, &s.last); err != nil {
		return span{}, fmt.Errorf("reading the end of %q: %w", id, err)
	}
	return s, nil
}
