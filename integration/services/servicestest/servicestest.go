// Package servicestest hands the services that a make target has started to
// the tests that need them.
package servicestest

import (
	"os"
	"testing"

	"github.com/drakkar-go/drakkar/integration/services"
)

// how is what a test that was skipped tells its reader.
const how = "needs a real service: run it through make test or make test/integration"

// Kafka returns the broker that was started for the tests. Without one
// the test is skipped; the make targets always start one.
func Kafka(tb testing.TB) (addr string) {
	tb.Helper()

	addr = os.Getenv(services.EnvKafka)
	if addr == "" {
		tb.Skip(how)
	}
	return addr
}

// Temporal returns the server that was started for the tests. Without
// one the test is skipped; the make targets always start one.
func Temporal(tb testing.TB) (addr, namespace string) {
	tb.Helper()

	addr, namespace = os.Getenv(services.EnvTemporal), os.Getenv(services.EnvTemporalNamespace)
	if addr == "" || namespace == "" {
		tb.Skip(how)
	}
	return addr, namespace
}

// Redis returns the URL of the server that was started for the tests. Without
// one the test is skipped; the make targets always start one.
func Redis(tb testing.TB) (url string) {
	tb.Helper()
	return started(tb, services.EnvRedis)
}

// Postgres returns the URL of the server that was started for the tests, with
// a login. Without one the test is skipped; the make targets always start one.
func Postgres(tb testing.TB) (url string) {
	tb.Helper()
	return started(tb, services.EnvPostgres)
}

// Mongo returns the URL of the server that was started for the tests. Without
// one the test is skipped; the make targets always start one.
func Mongo(tb testing.TB) (url string) {
	tb.Helper()
	return started(tb, services.EnvMongo)
}

func started(tb testing.TB, variable string) string {
	tb.Helper()

	value := os.Getenv(variable)
	if value == "" {
		tb.Skip(how)
	}
	return value
}
