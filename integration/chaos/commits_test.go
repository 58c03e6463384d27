package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestParseCommit(t *testing.T) {
	t.Parallel()

	key := func(group, topic string) []byte {
		k := kmsg.OffsetCommitKey{Version: 1, Group: group, Topic: topic, Partition: 3}
		return k.AppendTo(nil)
	}
	value := func(meta string) []byte {
		v := kmsg.OffsetCommitValue{Version: 3, Offset: 42, Metadata: meta, CommitTimestamp: 1500}
		return v.AppendTo(nil)
	}
	member := kmsg.GroupMetadataKey{Version: 2, Group: "g"}

	t.Run("Ours", func(t *testing.T) {
		t.Parallel()

		c, ours, err := parseCommit(key("g", "in"), value(`{"v":1,"e":"0-20260101-1","w":40,"o":42}`), "g", "in")
		require.NoError(t, err)
		require.True(t, ours)
		require.Equal(t, commit{partition: 3, offset: 42, epoch: "0-20260101-1", at: time.UnixMilli(1500)}, c)
	})

	for _, tt := range []struct {
		name       string
		key, value []byte
	}{
		{"AnotherGroup", key("h", "in"), value("{}")},
		{"AnotherTopic", key("g", "out"), value("{}")},
		{"Empty", nil, nil},
		{"Forgotten", key("g", "in"), nil},
		{"Member", member.AppendTo(nil), []byte("x")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			_, ours, err := parseCommit(tt.key, tt.value, "g", "in")
			require.NoError(t, err)
			require.False(t, ours)
		})
	}

	t.Run("StrangeMetadata", func(t *testing.T) {
		t.Parallel()

		_, _, err := parseCommit(key("g", "in"), value("not ours"), "g", "in")
		require.ErrorContains(t, err, "metadata of a commit at 3@42")
	})
}

func TestRegress(t *testing.T) {
	t.Parallel()

	at := func(offset int64, epoch string) commit { return commit{partition: 1, offset: offset, epoch: epoch} }
	for _, tt := range []struct {
		name           string
		commits        []commit
		across, inside int
	}{
		{"Back", []commit{at(5, "a"), at(3, "a"), at(6, "a")}, 0, 1},
		{"BackIntoALaterEpoch", []commit{at(5, "a"), at(3, "b")}, 1, 0},
		{"BackToAnEpochThatWasLeft", []commit{at(5, "a"), at(5, "b"), at(6, "a")}, 1, 0},
		{"Forward", []commit{at(5, "a"), at(5, "a"), at(9, "a"), at(9, "b"), at(12, "b")}, 0, 0},
		{"PartitionsAreTheirOwn", []commit{at(5, "a"), {partition: 2, offset: 1, epoch: "c"}, at(6, "a")}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			got := regress(tt.commits)
			require.Equal(t, tt.across, got.across)
			require.Equal(t, tt.inside, got.inside)
			require.Len(t, got.told, tt.across+tt.inside)
		})
	}
}
