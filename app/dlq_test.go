package app_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/app"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

// One sink is opened alone: the others may be away, or not even be possible.
func TestOpenSink(t *testing.T) {
	t.Parallel()

	cfg := config.Default()
	kafka, http, redis := config.DefaultOf[config.KafkaSink](), config.DefaultOf[config.HTTPSink](), config.DefaultOf[config.RedisSink]()
	kafka.Topic, http.URL, redis.URL = "t", "http://127.0.0.1:1", "redis://127.0.0.1:1"
	files, elsewhere := config.DefaultOf[config.FilesystemSink](), config.DefaultOf[config.FilesystemSink]()
	files.BasePath, elsewhere.BasePath = t.TempDir(), "/no/such/directory"
	cfg.Sinks.Kafka = map[string]config.KafkaSink{"one": kafka, "impossible": {Topic: "no topic"}}
	cfg.Sinks.HTTP = map[string]config.HTTPSink{"one": http}
	cfg.Sinks.Redis = map[string]config.RedisSink{"one": redis}
	cfg.Sinks.Filesystem = map[string]config.FilesystemSink{"one": files, "elsewhere": elsewhere}
	cfg.Sinks.Custom = map[string]config.CustomSink{"one": {Type: "memory"}, "other": {Type: "unknown"}}
	memory := sinkstest.NewMemory()
	custom := map[string]app.SinkConstructor{"memory": func(context.Context, string, config.CustomSink) (sinks.Sink, error) { return memory, nil }}

	for _, kind := range []sinks.Type{sinks.Kafka, sinks.HTTP, sinks.Redis, sinks.Filesystem, sinks.Custom} {
		ref := sinks.Ref{Type: kind, Name: "one"}
		set, err := app.OpenSink(t.Context(), cfg, custom, ref)
		require.NoError(t, err, kind)
		require.Equal(t, []sinks.Ref{ref}, set.Refs())
		require.NoError(t, set.CloseAll(t.Context()))
	}
	require.True(t, memory.Closed())
	require.Len(t, cfg.Sinks.Filesystem, 2, "the settings are left alone")

	redis.Delivery.Codec = "proto"
	cfg.Sinks.Redis["one"] = redis
	set, err := app.OpenSink(t.Context(), cfg, custom, sinks.Ref{Type: sinks.Redis, Name: "one"})
	require.NoError(t, err, "payloads were encoded before they became dead letters")
	require.NoError(t, set.CloseAll(t.Context()))

	_, err = app.OpenSink(t.Context(), cfg, custom, sinks.Ref{Type: sinks.Custom, Name: "other"})
	require.ErrorContains(t, err, "opening sinks.custom.other")
	for _, ref := range []sinks.Ref{{Type: sinks.Kafka, Name: "two"}, {Type: sinks.Postgres, Name: "one"}, {Type: sinks.Mongo, Name: "one"}, {Type: "x", Name: "one"}} {
		_, err := app.OpenSink(t.Context(), cfg, custom, ref)
		require.EqualError(t, err, "sinks."+string(ref.Type)+"."+ref.Name+" is not configured")
	}
}
