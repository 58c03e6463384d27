package ingest

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
)

// topicsEvery is how often it is looked whether the topics that are read are
// still the same.
const topicsEvery = 10 * time.Second

// source is a partition of a topic.
type source struct {
	topic     string
	partition int32
}

func sourceOf(tp kafka.TopicPartition) source {
	s := source{partition: tp.Partition}
	if tp.Topic != nil {
		s.topic = *tp.Topic
	}
	return s
}

func (s source) at(offset kafka.Offset) kafka.TopicPartition {
	return kafka.TopicPartition{Topic: &s.topic, Partition: s.partition, Offset: offset}
}

// String is the source as people know it.
func (s source) String() string { return fmt.Sprintf("%s/%d", s.topic, s.partition) }

// byTopic are the partitions of each topic.
func byTopic(sources []source) map[string][]int32 {
	out := map[string][]int32{}
	for _, s := range sources {
		out[s.topic] = append(out[s.topic], s.partition)
	}
	return out
}

// eachTopic calls f with the topics of sources, by name.
func eachTopic(sources []source, f func(topic string, partitions []int32)) {
	topics := byTopic(sources)
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		f(topic, topics[topic])
	}
}

// missingTopics says which of the topics that are to be read are not there. It
// asks Kafka.
func (i *Ingest) missingTopics(ctx context.Context) error {
	var fixed []string
	patterns := map[string]*regexp.Regexp{}
	for _, name := range i.opt.Kafka.Topics() {
		if re, ok := config.TopicPattern(name); ok {
			patterns[name] = re
		} else {
			fixed = append(fixed, name)
		}
	}
	if len(fixed) > 0 {
		if _, err := i.broker.describe(ctx, fixed); err != nil {
			return err
		}
	}
	if len(patterns) == 0 {
		return nil
	}
	names, err := i.broker.names(ctx)
	if err != nil {
		return err
	}
	for _, pattern := range slices.Sorted(maps.Keys(patterns)) {
		if !slices.ContainsFunc(names, patterns[pattern].MatchString) {
			return fmt.Errorf("no topic matches %s (kafka.source_topic)", pattern)
		}
	}
	return nil
}

// topicLoop looks for topics that were deleted and made again while they are
// read, until ctx ends. A new log that is long enough would be read on at the
// old position otherwise, as if nothing had happened.
func (i *Ingest) topicLoop(ctx context.Context) {
	tick := time.NewTicker(topicsEvery)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			i.checkTopics(ctx)
		}
	}
}

// checkTopics brings up the partitions of topics anew that were made again. What
// is wrong with topics that are not there is the group's matter.
func (i *Ingest) checkTopics(ctx context.Context) {
	topics := map[string]bool{}
	for _, p := range i.owned() {
		topics[p.topic] = true
	}
	if len(topics) == 0 {
		return
	}
	ids, _ := i.broker.describe(ctx, slices.Sorted(maps.Keys(topics)))
	_ = i.onPoll(ctx, func() error {
		for topic, id := range ids {
			i.leaveOldTopic(topic, id)
		}
		return nil
	})
}

// leaveOldTopic brings up the partitions anew that were taken over when the
// topic had another id, on the poll goroutine.
func (i *Ingest) leaveOldTopic(topic, id string) {
	for _, p := range i.owned() {
		if p.topic != topic || !p.running() || p.plan.topicID == id {
			continue
		}
		i.events.Record(events.IngestFailed{
			At: p.at(p.readUpTo()), Doing: "reading the partition",
			Err: fmt.Errorf("topic %s was deleted and made again: %w", topic, errOtherLog),
		})
		i.reassign(p)
	}
}
