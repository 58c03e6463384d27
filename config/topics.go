package config

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// DLQSuffix makes the name of a dead letter topic of that of its source.
const DLQSuffix = "_dlq"

// topicName is what a topic may be called.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Topics are the names and patterns of source_topic.
func (k Kafka) Topics() []string {
	var out []string
	for name := range strings.SplitSeq(k.SourceTopic, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// HasPattern reports whether one of the topics is a pattern.
func (k Kafka) HasPattern() bool {
	return slices.ContainsFunc(k.Topics(), func(name string) bool { return strings.HasPrefix(name, "^") })
}

// isOne reports whether source_topic names a single topic.
func (k Kafka) isOne() bool { return len(k.Topics()) == 1 && !k.HasPattern() }

// TopicPattern is the pattern that an element of [Kafka.Topics] is, if it is
// one that can be used.
func TopicPattern(name string) (re *regexp.Regexp, ok bool) {
	if !strings.HasPrefix(name, "^") {
		return nil, false
	}
	re, err := regexp.Compile(name)
	return re, err == nil
}

// TopicOf is where dead letters of a source topic go.
func (d DLQ) TopicOf(source string) string {
	if d.Topic != "" {
		return d.Topic
	}
	return source + DLQSuffix
}

// sourceTopics checks the names and patterns of what is read.
func (v *validator) sourceTopics(c *Config) {
	at, topics := setting("kafka.source_topic"), c.Kafka.Topics()
	for _, name := range topics {
		_, isPattern := TopicPattern(name)
		switch {
		case isPattern:
		case strings.HasPrefix(name, "^"):
			v.refuse(at, "has %s, which is no regular expression; commas stand between topics", quote(name))
		case !topicName.MatchString(name):
			v.refuse(at, "has %s, which is no name of a topic: up to 249 letters, digits, dots, underscores and dashes; "+
				"a pattern begins with ^, and commas stand between topics", quote(name))
		}
	}
	for _, name := range topics {
		if c.DLQ.Dir == "" && slices.Contains(topics, c.DLQ.TopicOf(name)) {
			v.refuse(setting("dlq.topic"), "is the source topic: dead letters would be read as messages")
			return
		}
	}
}

// joined is a list of texts as one text, with commas.
func joined(n *yaml.Node) *yaml.Node {
	if n.Kind != yaml.SequenceNode {
		return n
	}
	texts := make([]string, len(n.Content))
	for i, item := range n.Content {
		item = resolve(item)
		if item.Kind != yaml.ScalarNode || isNull(item) {
			return n
		}
		texts[i] = item.Value
	}
	one := *n
	one.Kind, one.Tag, one.Value, one.Content = yaml.ScalarNode, "!!str", strings.Join(texts, ","), nil
	return &one
}
