package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// checkFor bounds what Ready asks Kafka and Temporal.
const checkFor = 3 * time.Second

var errCheckTimeout = errors.New("no answer in time")

// Ready returns why this process does not do its work, or nothing when it does:
// Kafka and Temporal are asked, and every partition has to be read with nothing
// in its way. It waits a few seconds at most.
func (i *Ingest) Ready(ctx context.Context) []string {
	if !i.clients.TryRLock() {
		return []string{errStopped.Error()}
	}
	defer i.clients.RUnlock()

	if why := i.notRunning(); why != "" {
		return []string{why}
	}
	out := i.unreachable(ctx)
	if !i.isJoined() {
		out = append(out, "the group has not assigned partitions to this process yet")
	}
	if i.commitHangs.Load() {
		out = append(out, errCommitHangs.Error())
	}
	for _, p := range i.owned() {
		out = append(out, p.notReady()...)
	}
	return out
}

func (i *Ingest) notRunning() string {
	i.mu.Lock()
	defer i.mu.Unlock()

	switch i.phase {
	case created:
		return errNotStarted.Error()
	case starting:
		if i.doing != "" {
			return "waiting for Temporal: " + i.doing
		}
		return "ingest is starting"
	case started:
		if i.fatal.Load() {
			return "the Kafka consumer failed for good: the process has to be started again"
		}
		return ""
	default:
		return errStopped.Error()
	}
}

// joinGrace is after how long without an assignment a member of the consumer
// protocol has none because there are more members than partitions: the client
// tells of an empty assignment with the classic protocol only.
const joinGrace = 3 * time.Second

func (i *Ingest) isJoined() bool {
	i.mu.Lock()
	defer i.mu.Unlock()

	return i.joined || i.opt.Kafka.GroupProtocol == "consumer" && time.Since(i.joining) > joinGrace
}

func (i *Ingest) setJoined(joined bool) {
	i.mu.Lock()
	defer i.mu.Unlock()

	i.joined, i.joining = joined, time.Now()
}

// unreachable asks Kafka and Temporal at the same time.
func (i *Ingest) unreachable(ctx context.Context) (out []string) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkFor, errCheckTimeout)
	defer cancel()

	temporal := make(chan error, 1)
	go func() { temporal <- i.opt.Temporal.Check(ctx) }()
	if err := i.missingTopics(ctx); err != nil {
		out = append(out, fmt.Sprintf("Kafka: %v", err))
	}
	if err := <-temporal; err != nil {
		out = append(out, fmt.Sprintf("Temporal: %v", err))
	}
	return out
}
