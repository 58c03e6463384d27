package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
)

const (
	// preparations is how many partitions walk their chains at the same time.
	preparations = 16

	// fatalCloseBound is how long a client that has failed may take to close.
	fatalCloseBound = 2 * time.Second

	// joiningCloseBound is how long a client may take to close that owned
	// nothing when it was told to.
	joiningCloseBound = 5 * time.Second

	// depthEvery is how often QueueDepth is recorded.
	depthEvery = time.Second
)

var (
	errStopped      = errors.New("ingest was stopped")
	errNotStarted   = errors.New("ingest was not started")
	errCloseHangs   = errors.New("the client hangs after its error")
	errJoining      = errors.New("it owns no partition, and hangs as it does when it is stopped in its first rebalance")
	errStartedTwice = errors.New("ingest was started before")
)

// Options are what ingest is made of. All are required, except for Logger.
type Options struct {
	// Pipeline begins the ids of workflows and names task queues.
	Pipeline string

	// Worker is the name of this process, Kafka's client id.
	Worker string

	Kafka   config.Kafka
	DLQ     config.DLQ // its topic is not read, whatever pattern it matches
	Ingest  config.Ingest
	Windows config.Windows

	// WindowSize is executor.window_size: most messages in a window.
	WindowSize int

	// CancelOld is reset.cancel_old: windows of former epochs end when a new
	// one begins.
	CancelOld bool

	// Temporal is where windows live; see NewTemporal.
	Temporal Windows

	// Events is told everything that happens.
	Events events.Recorder

	// Logger gets what the Kafka client logs. Nil drops it.
	Logger *zap.Logger
}

// Ingest reads the partitions that the group gives it. It is started once.
type Ingest struct {
	opt    Options
	events events.Recorder
	cutter cutter
	slots  *slots

	// Set by Start.
	consumer  *kafka.Consumer
	broker    *kafkaBroker
	committer *committer
	retention time.Duration
	run       context.Context // ends with Stop
	cancel    context.CancelCauseFunc
	clientLog func() // ends the forwarding of the client's log

	posted chan func()   // to the poll goroutine
	polled chan struct{} // closed when it has ended
	failed chan error

	preparing chan struct{} // a semaphore
	rereading chan struct{} // a semaphore
	work      sync.WaitGroup
	tells     sync.WaitGroup

	// Of the poll goroutine.
	pressure hysteresis
	portion  hysteresis // of each partition in it
	strays   int        // positions out of the log that are not found yet
	checking bool       // somebody looks for them

	queuedMessages atomic.Int64
	queuedBytes    atomic.Int64
	commitHangs    atomic.Bool
	fatal          atomic.Bool // the client is of no use any more

	// clients is held, shared, by who uses the Kafka clients without being
	// waited for by Stop.
	clients sync.RWMutex

	mu    sync.Mutex
	phase lifecycle
	doing string // why Start has not returned, for Ready
	parts map[source]*partition

	// ranges reads windows again that are gone; nil until there is one.
	ranges *Reader

	joined  bool      // the group has given an assignment, if an empty one
	joining time.Time // since when it has not
}

type lifecycle uint8

const (
	created lifecycle = iota
	starting
	started
	stopping
	stopped
)

// New checks the options. It opens no connection.
func New(opt Options) (*Ingest, error) {
	if err := CheckOptions(opt.Kafka.Options); err != nil {
		return nil, err
	}
	if opt.Logger == nil {
		opt.Logger = zap.NewNop()
	}
	c := opt.Ingest
	return &Ingest{
		opt: opt, events: opt.Events,
		cutter: cutter{maxMessages: opt.WindowSize, maxBytes: opt.Windows.MaxBytes},
		slots:  &slots{max: c.MaxOpenWindowsTotal},
		posted: make(chan func()), polled: make(chan struct{}), failed: make(chan error, 1),
		preparing: make(chan struct{}, preparations), rereading: make(chan struct{}, rereads),
		pressure: hysteresis{
			high: load{c.HighMessages, c.HighBytes}, low: load{c.LowMessages, c.LowBytes},
		},
		parts: map[source]*partition{},
	}, nil
}

// Start checks the namespace's retention, joins the group, and returns once it
// has subscribed. While Temporal does not answer it waits, until ctx ends; a
// retention that is too short, refused credentials and bad settings are errors.
func (i *Ingest) Start(ctx context.Context) error {
	if !i.enter(created, starting) {
		return errStartedTwice
	}
	if err := i.start(ctx); err != nil {
		i.setPhase(stopped)
		return err
	}
	i.setPhase(started)
	return nil
}

func (i *Ingest) start(ctx context.Context) error {
	var err error
	if i.retention, err = i.checkRetention(ctx); err != nil {
		return err
	}
	if err := i.connect(); err != nil {
		return err
	}
	// Windows, commits and the group go on until Stop, not until the context of
	// the start ends.
	i.run, i.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := i.consumer.SubscribeTopics(i.opt.Kafka.Topics(), i.rebalanced); err != nil {
		err = fmt.Errorf("subscribing to %s (kafka.source_topic): %w", i.opt.Kafka.SourceTopic, err)
		return errors.Join(err, i.close(ctx))
	}
	i.setJoined(false)
	go i.pollLoop(i.run)
	i.work.Go(func() { i.commitLoop(i.run) })
	i.work.Go(func() { i.depthLoop(i.run) })
	i.work.Go(func() { i.topicLoop(i.run) })
	return nil
}

// connect makes the clients; they connect by themselves.
func (i *Ingest) connect() error {
	config := consumerConfig(i.opt.Kafka, i.opt.DLQ, i.opt.Worker)
	consumer, err := kafka.NewConsumer(&config)
	if err != nil {
		return fmt.Errorf("making the Kafka consumer (kafka): %w", err)
	}
	i.consumer, i.clientLog = consumer, forwardLog(consumer.Logs(), i.opt.Logger)
	if i.broker, err = newKafkaBroker(consumer); err != nil {
		i.clientLog()
		return errors.Join(err, consumer.Close())
	}
	i.committer = newCommitter(i.broker, i.events)
	return nil
}

// checkRetention returns the namespace's retention, when it is long enough.
func (i *Ingest) checkRetention(ctx context.Context) (time.Duration, error) {
	for attempt := 1; ; attempt++ {
		retention, err := i.opt.Temporal.Retention(ctx)
		switch {
		case err == nil && retention < i.opt.Ingest.MinRetention:
			return 0, fmt.Errorf("the Temporal namespace keeps closed workflows for %s, less than ingest.min_retention (%s): "+
				"windows would be forgotten before their offsets are committed; raise the namespace's retention, "+
				"or lower ingest.min_retention if repeated work after a long outage is acceptable",
				retention, i.opt.Ingest.MinRetention)
		case err == nil:
			return retention, nil
		case ctx.Err() != nil:
			return 0, fmt.Errorf("waiting for Temporal: %w", context.Cause(ctx))
		case errors.Is(err, ErrRefused):
			return 0, err
		}
		i.startWaits(err)
		if err := pause(ctx, backoff(attempt)); err != nil {
			return 0, fmt.Errorf("waiting for Temporal: %w", err)
		}
	}
}

// Err gives the error after which the Kafka client is of no use any more. The
// process is to be stopped then; another one goes on where it was.
func (i *Ingest) Err() <-chan error { return i.failed }

// fail gives everything up: the client does not say any more what happens to
// its partitions.
func (i *Ingest) fail(err error) {
	err = fmt.Errorf("the Kafka consumer failed for good: %w", err)
	i.fatal.Store(true)
	i.events.Record(events.ConsumerError{Err: err, Fatal: true})
	var gone []source
	for _, p := range i.owned() {
		gone = append(gone, p.source())
		i.disown(p, errLost)
	}
	eachTopic(gone, func(topic string, ids []int32) {
		i.events.Record(events.Revoked{Topic: topic, Partitions: ids, Lost: true})
	})
	i.setJoined(false)
	select {
	case i.failed <- err:
	default:
	}
}

// Stop ends reading, commits what is finished and leaves the group, waiting no
// longer than ctx. Open windows run on; whoever owns their partitions next
// follows them. Stopping twice, and before Start, does nothing.
func (i *Ingest) Stop(ctx context.Context) error {
	if !i.enter(started, stopping) {
		return nil
	}
	defer i.setPhase(stopped)

	i.cancel(errStopped)
	if err := waitFor(ctx, i.ended); err != nil {
		return fmt.Errorf("waiting for the partitions to end: %w", err)
	}
	i.finalCommit(i.owned())
	return i.close(ctx)
}

func (i *Ingest) ended() {
	<-i.polled
	i.work.Wait()
}

// close leaves the group. The client's close has no bound of its own: it can
// hang behind a commit that is not answered, and does when the client was fenced
// by another of the same group.instance.id. It is left alone then.
//
// A client that gets its first partitions while it closes can wait for itself
// for ever. Nothing of theirs was read, so that is no failure of the stop: the
// group notices after its session timeout.
func (i *Ingest) close(ctx context.Context) error {
	var cancel context.CancelFunc = func() {}
	switch {
	case i.fatal.Load():
		ctx, cancel = context.WithTimeoutCause(ctx, fatalCloseBound, errCloseHangs)
	case len(i.owned()) == 0:
		ctx, cancel = context.WithTimeoutCause(ctx, joiningCloseBound, errJoining)
	}
	defer cancel()

	var closing error
	err := waitFor(ctx, func() {
		i.clients.Lock() // for good: nobody may use them any more
		i.broker.close()
		i.closeRanges(ctx)
		closing = i.consumer.Close() // calls rebalanced
		i.clientLog()
		i.tells.Wait()
	})
	if errors.Is(err, errJoining) {
		i.opt.Logger.Warn("the Kafka client may not have left the group: " + err.Error())
		return nil
	}
	if err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("closing the Kafka consumer: %w", err)
	}
	return nil
}

func (i *Ingest) closeRanges(ctx context.Context) {
	i.mu.Lock()
	r := i.ranges
	i.mu.Unlock()
	if r == nil {
		return
	}
	if err := r.Close(ctx); err != nil {
		i.opt.Logger.Warn("closing the reader of windows that are gone", zap.Error(err))
	}
}

// waitFor runs f and waits for it until ctx ends.
func waitFor(ctx context.Context, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)

		f()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (i *Ingest) enter(from, to lifecycle) bool {
	i.mu.Lock()
	defer i.mu.Unlock()

	if i.phase != from {
		return false
	}
	i.phase = to
	return true
}

func (i *Ingest) setPhase(p lifecycle) {
	i.mu.Lock()
	defer i.mu.Unlock()

	i.phase = p
}
