package ingest

import (
	"encoding/json"
	"fmt"
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
	if json.Unmarshal([]byte(s), &m) != nil || m.Epoch == "" || m.Window < 0 || m.Window > m.Offset {
		return metadata{}, false, nil //nolint:nilerr // metadata of somebody else is no error
	}
	return m, true, nil
}

// distrust says why metadata does not describe the offset it was found with, or
// is empty when it does. Tools that reset or translate offsets copy metadata
// they do not understand, which is why the offset itself is part of it.
func (m metadata) distrust(c committed, pipeline, topicID string) string {
	switch {
	case m.Offset != c.offset:
		return fmt.Sprintf("the offset was set to %d behind our back, its metadata says %d", c.offset, m.Offset)
	case m.Pipeline != pipeline:
		return fmt.Sprintf("the offset was committed by pipeline %q", m.Pipeline)
	case m.TopicID != topicID:
		return "the topic was deleted and made again"
	default:
		return ""
	}
}
