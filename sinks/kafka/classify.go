package kafka

import (
	"errors"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/drakkar-go/drakkar/sinks"
)

// classify says whether the payload itself is at fault.
//
// Brokers refuse some payloads for good. A missing topic and a missing
// permission are the operator's to mend, so such payloads wait; but a
// permission for a topic that the payload itself chose, and a partition it
// chose that is not there, are the payload's fault.
func classify(err error, p sinks.Payload) sinks.Class {
	if _, ok := errors.AsType[*refusedError](err); ok {
		return sinks.Permanent
	}
	permanent := false
	switch code(err) {
	case kafka.ErrMsgSizeTooLarge, kafka.ErrInvalidMsgSize, kafka.ErrRecordListTooLarge,
		kafka.ErrInvalidRecord, kafka.ErrTopicException, kafka.ErrPolicyViolation,
		kafka.ErrUnsupportedForMessageFormat:
		permanent = true
	case kafka.ErrTopicAuthorizationFailed:
		permanent = p.Topic != ""
	case kafka.ErrUnknownPartition:
		permanent = p.Partition != nil
	}
	if permanent {
		return sinks.Permanent
	}
	return sinks.Transient
}

func tooLarge(err error) bool {
	c := code(err)
	return c == kafka.ErrMsgSizeTooLarge || c == kafka.ErrRecordListTooLarge
}
