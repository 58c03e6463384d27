package sinkstest

import (
	"testing"
	"time"
)

// Compare measures a sink beside the bare loop of its driver, in turns, so that
// both meet the same server in the same state and the same load. Each call of
// sink and bare delivers n payloads. It reports the payloads a second of both,
// and the sink's share of the driver's.
func Compare(b *testing.B, n int, sink, bare func()) {
	b.Helper()

	var own, driver time.Duration
	for b.Loop() {
		begun := time.Now()
		bare()
		middle := time.Now()
		sink()
		driver += middle.Sub(begun)
		own += time.Since(middle)
	}
	total := float64(n) * float64(b.N)
	b.ReportMetric(total/own.Seconds(), "payloads/s")
	b.ReportMetric(total/driver.Seconds(), "bare/s")
	b.ReportMetric(driver.Seconds()/own.Seconds(), "ratio")
}
