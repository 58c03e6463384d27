package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSourceTopics(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		yaml    string
		environ []string
		topics  []string
		pattern bool
		dlq     string
	}{
		"One":          {yaml: "kafka: {source_topic: in}", topics: []string{"in"}, dlq: "in_dlq"},
		"OneInAList":   {yaml: "kafka: {source_topic: [in]}", topics: []string{"in"}, dlq: "in_dlq"},
		"List":         {yaml: "kafka: {source_topic: [in, other, in]}", topics: []string{"in", "other"}},
		"Text":         {yaml: "kafka: {source_topic: 'in, other'}", topics: []string{"in", "other"}},
		"Pattern":      {yaml: "kafka: {source_topic: '^orders[.].*'}", topics: []string{"^orders[.].*"}, pattern: true},
		"PatternToo":   {yaml: "kafka: {source_topic: [in, '^orders[.].*']}", topics: []string{"in", "^orders[.].*"}, pattern: true},
		"OwnDLQ":       {yaml: "kafka: {source_topic: [in, other]}\ndlq: {topic: dead}", topics: []string{"in", "other"}, dlq: "dead"},
		"NoDLQTopic":   {yaml: "kafka: {source_topic: [in, in_dlq]}\ndlq: {dir: /x}", topics: []string{"in", "in_dlq"}},
		"FromVariable": {environ: []string{"DRAKKAR_KAFKA__SOURCE_TOPIC=in,other"}, topics: []string{"in", "other"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := mustParse(t, tt.yaml, tt.environ...)
			c.Complete()
			require.Equal(t, tt.topics, c.Kafka.Topics())
			require.Equal(t, tt.pattern, c.Kafka.HasPattern())
			require.Equal(t, tt.dlq, c.DLQ.Topic)
			require.NoError(t, c.Validate())
		})
	}

	for name, tt := range map[string]struct{ yaml, want string }{
		"NoName":           {"kafka: {source_topic: 'in put'}", `kafka.source_topic: has "in put", which is no name of a topic`},
		"NoPattern":        {"kafka: {source_topic: '^in['}", `kafka.source_topic: has "^in[", which is no regular expression`},
		"CommaInAPattern":  {"kafka: {source_topic: '^in.{1,2}'}", "commas stand between topics"},
		"DLQIsOne":         {"kafka: {source_topic: [in, other]}\ndlq: {topic: other}", "dlq.topic: is the source topic"},
		"OnesDLQIsAnother": {"kafka: {source_topic: [in, in_dlq]}", "dlq.topic: is the source topic"},
		"ListOfLists":      {"kafka: {source_topic: [[in]]}", "kafka.source_topic: want text, not a list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, _, err := Parse([]byte(tt.yaml), "f.yaml", nil)
			require.ErrorContains(t, err, tt.want)
		})
	}

	re, ok := TopicPattern("^in.*")
	require.True(t, ok)
	require.True(t, re.MatchString("input"))
	_, ok = TopicPattern("in")
	require.False(t, ok)
	require.Equal(t, "in_dlq", DLQ{}.TopicOf("in"))
	require.Equal(t, "dead", DLQ{Topic: "dead"}.TopicOf("in"))
}
