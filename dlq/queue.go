package dlq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/drakkar-go/drakkar/config"
)

// Position is a place in a queue.
type Position struct {
	// Log is a partition, as in orders_dlq/3, or the name of a file.
	Log string `json:"log"`
	// Offset is that of the record, or of the line's first byte.
	Offset int64 `json:"offset"`
}

// String is the position as commands show and take it: orders_dlq/3@17.
func (p Position) String() string { return p.Log + "@" + strconv.FormatInt(p.Offset, 10) }

// ParsePosition is the inverse of [Position.String]. ok is false for what is no
// position, such as the id of a dead letter.
func ParsePosition(text string) (p Position, ok bool) {
	i := strings.LastIndexByte(text, '@')
	if i < 1 {
		return Position{}, false
	}
	offset, err := strconv.ParseInt(text[i+1:], 10, 64)
	if err != nil || offset < 0 {
		return Position{}, false
	}
	return Position{Log: text[:i], Offset: offset}, true
}

// Span is a part of a queue's log: From is in it, To is not.
type Span struct {
	Log      string
	From, To int64
}

// Entry is what was read at one position.
type Entry struct {
	At Position
	// Next is the offset behind it.
	Next int64
	// Envelope is the dead letter, unless Err says why it is none.
	Envelope Envelope
	Err      error
}

// Queue reads what a Writer wrote. It changes nothing in the queue. It is for
// one goroutine.
type Queue interface {
	// Name says which queue it is. One that was made again under the same name
	// has another, where that can be known.
	Name() string

	// Spans are the logs of the queue as they are now.
	Spans(ctx context.Context) ([]Span, error)

	// Read calls f for every entry of the spans, those of one log in order. It
	// ends with the first error of f, which it returns as it is.
	Read(ctx context.Context, spans []Span, f func(Entry) error) error

	// Close gives back what the queue holds.
	Close() error
}

// ReadOptions are how a queue is read.
type ReadOptions struct {
	// Timeout is how long brokers may say nothing before reading is given up.
	// Defaults to 30 s.
	Timeout time.Duration

	// Warn takes what is odd and does not keep the queue from being read.
	Warn func(string)
}

const defaultReadTimeout = 30 * time.Second

func (o ReadOptions) withDefaults() ReadOptions {
	if o.Timeout <= 0 {
		o.Timeout = defaultReadTimeout
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	return o
}

// OpenQueue opens the queue which a writer with the same settings writes to.
func OpenQueue(ctx context.Context, cfg config.DLQ, source config.Kafka, opts ReadOptions) (Queue, error) {
	if cfg.Dir != "" {
		return OpenFiles(cfg.Dir, opts)
	}
	return OpenKafka(ctx, cfg, source, opts)
}

// errEmpty says that there is no queue yet.
var errEmpty = errors.New("nothing was dead-lettered yet, or the settings name another queue than the executors'")

func entry(at Position, next int64, data []byte) Entry {
	e := Entry{At: at, Next: next}
	if e.Envelope, e.Err = Decode(data); e.Err != nil {
		e.Err = fmt.Errorf("reading %s: %w", at, e.Err)
	}
	return e
}
