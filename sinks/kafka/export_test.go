package kafka

import "github.com/confluentinc/confluent-kafka-go/v2/kafka"

// BreakProducer raises a fatal error in the sink's producer.
func BreakProducer(s *Sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client.producer.TestFatalError(kafka.ErrOutOfOrderSequenceNumber, "broken by a test")
}

// Property is what the sink's producer was told.
func Property(s *Sink, name string) any { return s.props[name] }
