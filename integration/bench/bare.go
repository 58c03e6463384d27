package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// bareLoop runs a program with nothing around os/exec. CPU is that of the loop
// and of the programs together.
func (w *world) bareLoop(ctx context.Context, slots, count int, program ...string) (sample, error) {
	args := append([]string{"loop", strconv.Itoa(slots), strconv.Itoa(count)}, program...)
	cmd := exec.CommandContext(ctx, w.bin("task"), args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return sample{}, fmt.Errorf("running the bare loop: %w: %s", err, said.String())
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		return sample{}, fmt.Errorf("reading what the bare loop printed: %w", err)
	}
	s := sample{rate: float64(count) / seconds, figures: map[string]float64{}}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok { // of its programs too
		s.figures["cpu_ms"] = milliseconds(time.Duration(u.Utime.Nano()+u.Stime.Nano())) / float64(count)
	}
	return s, nil
}

// xargs does the same with the tool that everybody has.
func (w *world) xargs(ctx context.Context, slots, count int, program ...string) (sample, error) {
	args := append([]string{"-P", strconv.Itoa(slots), "-n", "1"}, program...)
	cmd := exec.CommandContext(ctx, "xargs", args...)
	var lines bytes.Buffer
	for n := range count {
		fmt.Fprintln(&lines, n)
	}
	cmd.Stdin = &lines
	began := time.Now()
	if text, err := cmd.CombinedOutput(); err != nil {
		return sample{}, fmt.Errorf("running xargs: %w: %s", err, text)
	}
	return sample{rate: float64(count) / time.Since(began).Seconds()}, nil
}

// copyLoop is what precomputed tasks are measured by: a loop that consumes count
// messages, which wait, produces a record for each and commits.
func (w *world) copyLoop(ctx context.Context, count int, value func(n int) []byte) (s sample, err error) {
	name := "bench-copy-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	from, to := name+"-in", name+"-out"
	if err := w.broker.create(ctx, map[string]int{from: partitions, to: partitions}); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, w.broker.remove(context.WithoutCancel(ctx), from, to)) }()
	if err := w.broker.send(ctx, from, partitions, 0, count, value); err != nil {
		return s, err
	}
	c, err := w.broker.consumer(name, from, partitions, nil)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	began := time.Now()
	if err := w.copied(ctx, c, to, count); err != nil {
		return s, fmt.Errorf("copying %s: %w", from, err)
	}
	if _, err := c.Commit(); err != nil {
		return s, fmt.Errorf("committing what was copied: %w", err)
	}
	return sample{rate: float64(count) / time.Since(began).Seconds()}, nil
}

// copied copies count messages and waits until the broker has them.
func (w *world) copied(ctx context.Context, c *kafka.Consumer, to string, count int) error {
	reports, arrived := collect(count)
	for n := 0; n < count; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		m, ok := c.Poll(100).(*kafka.Message)
		if !ok {
			continue
		}
		err := w.broker.produce(ctx, &kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &to, Partition: int32(n % partitions)}, Value: m.Value,
		}, reports)
		if err != nil {
			return err
		}
		n++
	}
	return await(ctx, arrived)
}

// echo is a path from a topic to itself: what the broker alone takes.
func (w *world) echo(ctx context.Context, count int) (s sample, err error) {
	topic := "bench-echo-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := w.broker.create(ctx, map[string]int{topic: partitions}); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, w.broker.remove(context.WithoutCancel(ctx), topic)) }()
	r, err := w.broker.read(topic, partitions)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	p := &path{
		world: w, reader: r, source: topic, sent: new(int),
		value:  func(n int) []byte { return strconv.AppendInt(nil, int64(n), 10) },
		number: func(n int) int { return n },
	}
	if _, err := p.timed(ctx, 20, func() time.Duration { return 0 }); err != nil { // connections and caches
		return s, err
	}
	return p.singles(ctx, count)
}
