package workflows

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/drakkar-go/drakkar"
)

// WindowWorkflow is the registered name of the Window workflow.
const WindowWorkflow = "Window"

// RebalanceWorkflow is the registered name of the Rebalance workflow.
const RebalanceWorkflow = "Rebalance"

// TaskQueue is the queue of a pipeline's workflows and of its short activities.
func TaskQueue(pipeline string) string { return pipeline }

// ExecuteQueue is the queue of the Execute activity: workers take from it only
// while they have room in their subprocess pool.
func ExecuteQueue(pipeline string) string { return pipeline + "/execute" }

// Link is the place of a window in its chain. A window's Start is its
// predecessor's Last + 1, whatever offset its first record has.
type Link struct {
	Pipeline  string `json:"pipeline"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Epoch     string `json:"epoch"`
	Start     int64  `json:"start"`
}

// WorkflowID is the id of the link's workflow:
// pipeline/topic/partition/epoch/start.
func (l Link) WorkflowID() string {
	return l.Pipeline + "/" + l.Topic + "/" + strconv.Itoa(int(l.Partition)) + "/" + l.Epoch + "/" + strconv.FormatInt(l.Start, 10)
}

// ParseWorkflowID is the inverse of WorkflowID. The pipeline may hold slashes.
func ParseWorkflowID(id string) (Link, error) {
	parts := strings.Split(id, "/")
	if len(parts) < 5 {
		return Link{}, fmt.Errorf("workflow id %q is not of the form pipeline/topic/partition/epoch/start", id)
	}
	n := len(parts)
	partition, err := strconv.ParseInt(parts[n-3], 10, 32)
	if err != nil {
		return Link{}, fmt.Errorf("parsing the partition of workflow id %q: %w", id, err)
	}
	start, err := strconv.ParseInt(parts[n-1], 10, 64)
	if err != nil {
		return Link{}, fmt.Errorf("parsing the start of workflow id %q: %w", id, err)
	}
	return Link{
		Pipeline: strings.Join(parts[:n-4], "/"), Topic: parts[n-4],
		Partition: int32(partition), Epoch: parts[n-2], Start: start,
	}, nil
}

// Message is one record as the input of a window holds it.
type Message struct {
	Offset    int64            `json:"o"`
	Key       drakkar.Bytes    `json:"k,omitzero"`
	Value     drakkar.Bytes    `json:"v"`
	Headers   []drakkar.Header `json:"h,omitempty"`
	Timestamp int64            `json:"ts,omitempty"` // ms since 1970; 0 when the record has none

	// Size is set instead of Value when the value is too large to travel: the
	// activity that needs it reads it from Kafka by its coordinates.
	Size int `json:"size,omitempty"`
}

// EncodedLen is an upper bound of the message's length in the input.
func (m Message) EncodedLen() int {
	n := 64 + m.Key.EncodedLen() + m.Value.EncodedLen()
	for _, h := range m.Headers {
		n += 16 + drakkar.Bytes(h.Key).EncodedLen() + h.Value.EncodedLen()
	}
	return n
}

// Record is the message with its place.
func (m Message) Record(topic string, partition int32) drakkar.Record {
	r := drakkar.Record{
		Topic: topic, Partition: partition, Offset: m.Offset,
		Key: m.Key, Value: m.Value, Headers: m.Headers,
	}
	if m.Timestamp != 0 {
		r.Timestamp = time.UnixMilli(m.Timestamp).UTC()
	}
	return r
}

// WindowInput is what ingest starts a window with.
type WindowInput struct {
	Link

	// TopicID are a few characters of the topic's id: a topic that was deleted
	// and made again has others, and so have its delivery ids.
	TopicID string `json:"topic_id"`

	// Last is the last offset of the window's range; the first record may have
	// a higher offset than Start.
	Last int64 `json:"last"`

	// Messages are in the order of their offsets, all within Start..Last.
	Messages []Message `json:"messages"`

	// Open are the workflow ids of the windows of the partition that were open
	// when this one was cut: whom Window.Pending asks.
	Open []string `json:"open,omitempty"`

	// ProgressInterval is how old a window gets before it publishes which of
	// its messages are done, and how often it does.
	ProgressInterval time.Duration `json:"progress_interval,omitempty"`

	// DeadLetter writes every message to the dead letter queue instead of
	// working on it, and Because is the error they are written with.
	DeadLetter bool   `json:"dead_letter,omitempty"`
	Because    string `json:"because,omitempty"`

	// Finished are ranges of offsets that a former workflow of the same link
	// has finished. Messages holds none of them. Each range stands for at least
	// one message that is not in Messages any more and was longer, so that the
	// input is no larger than that of the former workflow.
	Finished []Range `json:"finished,omitempty"`
}

// Memo keys of a window's workflow. Start, last and count are there from its
// start on; finished appears with the first progress, or is there from the
// start when a former workflow has finished something, and dead_letter is there
// when the window does nothing but write its messages to the dead letter queue.
const (
	MemoStart      = "start"
	MemoFirst      = "first"
	MemoLast       = "last"
	MemoCount      = "count"
	MemoFinished   = "finished"
	MemoDeadLetter = "dead_letter"
)

// Memo is what the input's range puts into the memo of its workflow, from which
// another owner of the partition learns what the window covers.
func (in WindowInput) Memo() map[string]any {
	first := in.Start
	if len(in.Messages) > 0 {
		first = in.Messages[0].Offset
	}
	memo := map[string]any{MemoStart: in.Start, MemoFirst: first, MemoLast: in.Last, MemoCount: len(in.Messages)}
	if len(in.Finished) > 0 {
		memo[MemoFinished] = published(in.Finished, nil)
	}
	if in.DeadLetter {
		memo[MemoDeadLetter] = true
	}
	return memo
}

// Summary is the one line that Temporal's UI shows for the window.
func (in WindowInput) Summary() string {
	return fmt.Sprintf("p%d %d-%d, %d messages", in.Partition, in.Start, in.Last, len(in.Messages))
}

// WindowResult is what a window's workflow returns once nothing of it is left
// to do.
type WindowResult struct {
	// Last is the last offset of the window's range. A link that was gone may
	// have been started again with another range than its followers know.
	Last int64 `json:"last"`

	Messages     int `json:"messages"`
	Tasks        int `json:"tasks"`
	Failed       int `json:"failed"`
	Delivered    int `json:"delivered"`
	DeadLettered int `json:"dead_lettered"`
	Skipped      int `json:"skipped"`
}

// RebalanceInput tells the handler about partitions.
type RebalanceInput struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
	Revoked    bool    `json:"revoked,omitempty"`
}
