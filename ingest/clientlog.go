package ingest

import (
	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"go.uber.org/zap"
)

// forwardLog writes what a Kafka client logs, until stop is called. The client
// owns the channel and would block without a reader.
func forwardLog(logs <-chan kafka.LogEvent, log *zap.Logger) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)

		for {
			select {
			case <-done:
				return
			case l, ok := <-logs:
				if !ok {
					return
				}
				writeLog(log, l)
			}
		}
	}()
	return func() { close(done); <-ended }
}

// syslogWarning is the least severe of syslog's levels that people should see.
const syslogWarning = 4

func writeLog(log *zap.Logger, l kafka.LogEvent) {
	write := log.Debug
	if l.Level <= syslogWarning {
		write = log.Warn
	}
	write("kafka client: "+l.Message, zap.String("facility", l.Tag), zap.String("client", l.Name))
}
