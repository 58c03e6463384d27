package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetsTopic is where the broker keeps what groups commit, each commit a
// record.
const offsetsTopic = "__consumer_offsets"

// commit is one commit of the pipeline's group.
type commit struct {
	partition int32
	offset    int64
	epoch     string
	at        time.Time
}

// commits reads every commit of a group from the broker's own log: no poll can
// miss one.
func (b *broker) commits(ctx context.Context, group, topic string) ([]commit, error) {
	var out []commit
	err := b.read(ctx, offsetsTopic, func(m *kafka.Message) error {
		c, ours, err := parseCommit(m.Key, m.Value, group, topic)
		if ours {
			out = append(out, c)
		}
		return err
	})
	return out, err
}

// parseCommit reads a record of the broker's log. ours is false for what is
// not a commit of the group: records of its members, of other groups, and
// offsets that were forgotten.
func parseCommit(key, value []byte, group, topic string) (c commit, ours bool, err error) {
	// The first two bytes are the version; 2 and above are records of members.
	if len(key) < 2 || key[0] != 0 || key[1] > 1 || value == nil {
		return commit{}, false, nil
	}
	var k kmsg.OffsetCommitKey
	if err := k.ReadFrom(key); err != nil {
		return commit{}, false, fmt.Errorf("decoding the key of a commit: %w", err)
	}
	if k.Group != group || k.Topic != topic {
		return commit{}, false, nil
	}
	var v kmsg.OffsetCommitValue
	if err := v.ReadFrom(value); err != nil {
		return commit{}, false, fmt.Errorf("decoding a commit: %w", err)
	}
	var meta struct {
		Epoch string `json:"e"`
	}
	if err := json.Unmarshal([]byte(v.Metadata), &meta); err != nil {
		return commit{}, false, fmt.Errorf("decoding the metadata of a commit at %d@%d: %w", k.Partition, v.Offset, err)
	}
	return commit{partition: k.Partition, offset: v.Offset, epoch: meta.Epoch, at: time.UnixMilli(v.CommitTimestamp)}, true, nil
}

// regressions are commits that moved an offset back. Inside an epoch a late
// commit of a former owner may do so: the next owner adopts what is there. In
// another epoch it would make work run again.
type regressions struct {
	across int // to another epoch, or back to one that was left
	inside int // of the epoch
	told   []string
}

func regress(commits []commit) regressions {
	var out regressions
	last := map[int32]commit{}
	left := map[int32]map[string]bool{} // epochs that were followed by another
	for _, c := range commits {
		before, known := last[c.partition]
		last[c.partition] = c
		if !known {
			left[c.partition] = map[string]bool{}
			continue
		}
		if c.epoch != before.epoch {
			left[c.partition][before.epoch] = true
		}
		switch {
		case left[c.partition][c.epoch], c.epoch != before.epoch && c.offset < before.offset:
			out.across++
		case c.offset < before.offset:
			out.inside++
		default:
			continue
		}
		out.told = append(out.told, fmt.Sprintf("partition %d went from %d of epoch %q to %d of epoch %q",
			c.partition, before.offset, before.epoch, c.offset, c.epoch))
	}
	return out
}
