package ingest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// metadataVersion is the version of commit metadata this code writes and reads.
const metadataVersion = 1

// metadata is what is committed together with an offset. It says where in its
// chain the offset lies.
type metadata struct {
	Version  int    `json:"v"`
	Pipeline string `json:"p"`
	TopicID  string `json:"t"`
	Epoch    string `json:"e"`
	Window   int64  `json:"w"` // start of the window that holds Offset
	Offset   int64  `json:"o"`

	// Lengths are those of the windows from Window on, in offsets, as far as
	// the chain reached when the offset was committed. They tell a window that
	// is gone from the end of the chain, and what its range was.
	Lengths []int64 `json:"c,omitempty"`

	// Finished has a digit for each of them, 1 for a window that is finished,
	// up to the last such one. They tell a window that Temporal has forgotten
	// from one that it has lost.
	Finished string `json:"f,omitempty"`
}

// lengthsMax is how many bytes of lengths and their digits are committed. Kafka
// refuses metadata of more than 4,096 bytes by default.
const lengthsMax = 2500

// fitting is how many of the lengths are short enough to be committed, each with
// its digit.
func fitting(lengths []int64) int {
	size := 0
	for n, l := range lengths {
		if size += len(strconv.FormatInt(l, 10)) + 2; size > lengthsMax {
			return n
		}
	}
	return len(lengths)
}

// digits says which windows are finished, as metadata does.
func digits(finished []bool) string {
	out := make([]byte, len(finished))
	for n, f := range finished {
		out[n] = '0'
		if f {
			out[n] = '1'
		}
	}
	return string(out)
}

// window is what the metadata knows of the window that begins at start: its last
// offset, and whether it was finished.
func (m metadata) window(start int64) (last int64, finished, known bool) {
	at := m.Window
	for n, l := range m.Lengths {
		if at == start {
			return at + l - 1, n < len(m.Finished) && m.Finished[n] == '1', true
		}
		at += l
	}
	return 0, false, false
}

// end is where the chain ended when the offset was committed, as far as the
// metadata knows.
func (m metadata) end() int64 {
	end := m.Window
	for _, l := range m.Lengths {
		end += l
	}
	return end
}

// unknownVersionError refuses a partition: an offset was committed by a version
// of Drakkar that may mean something else by it.
type unknownVersionError struct{ version int }

// Error implements error.
func (e *unknownVersionError) Error() string {
	return fmt.Sprintf("the committed offset has metadata of version %d, this process knows version %d: "+
		"run the newer version of Drakkar, or reset the group's offset to give up its windows", e.version, metadataVersion)
}

// String is the form that is committed.
func (m metadata) String() string {
	m.Version = metadataVersion
	m.Lengths = m.Lengths[:fitting(m.Lengths)]
	m.Finished = strings.TrimRight(m.Finished[:min(len(m.Finished), len(m.Lengths))], "0")
	data, err := json.Marshal(m)
	if err != nil {
		return "" // strings and integers always encode
	}
	return string(data)
}

// parseMetadata reads what is committed with an offset. ok is false when it is
// not ours. The error is an *unknownVersionError.
func parseMetadata(s string) (m metadata, ok bool, err error) {
	var head struct {
		Version *int `json:"v"`
	}
	if json.Unmarshal([]byte(s), &head) != nil || head.Version == nil {
		return metadata{}, false, nil //nolint:nilerr // metadata of somebody else is no error
	}
	if *head.Version != metadataVersion {
		return metadata{}, false, &unknownVersionError{version: *head.Version}
	}
	if json.Unmarshal([]byte(s), &m) != nil || m.Epoch == "" || m.Window < 0 || m.Window > m.Offset || !m.sound() {
		return metadata{}, false, nil //nolint:nilerr // metadata of somebody else is no error
	}
	return m, true, nil
}

// sound reports whether the lengths are some that windows can have, and the
// digits some of theirs.
func (m metadata) sound() bool {
	end := m.Window
	for _, l := range m.Lengths {
		if l < 1 || l > maxOffset-end {
			return false
		}
		end += l
	}
	return len(m.Finished) <= len(m.Lengths) && strings.Trim(m.Finished, "01") == ""
}

// topicMadeAgain is why metadata is not trusted that is right but for the topic:
// nobody but us has set the offset, and not for this topic.
const topicMadeAgain = "the topic was deleted and made again"

// distrust says why metadata does not describe the offset it was found with, or
// is empty when it does. Tools that reset or translate offsets copy metadata
// they do not understand, which is why the offset itself is part of it.
func (m metadata) distrust(c committed, pipeline, topicID string) string {
	switch {
	case m.Offset != c.offset:
		return fmt.Sprintf("the offset was set to %d behind our back, its metadata says %d", c.offset, m.Offset)
	case m.Pipeline != pipeline:
		return fmt.Sprintf("the offset was committed by pipeline %q", m.Pipeline)
	case m.TopicID == topicID:
		return ""
	case noID(m.TopicID) || noID(topicID):
		return "the topic has an id since, or none any more"
	default:
		return topicMadeAgain
	}
}

// noID reports whether brokers have given a topic no id, as those before Kafka
// 2.8 do: that is all zeros.
func noID(topicID string) bool { return strings.Trim(topicID, "A") == "" }
