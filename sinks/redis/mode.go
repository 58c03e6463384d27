package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drakkar-go/drakkar/sinks"
)

// mode is what is done with a payload.
type mode struct {
	queue    func(ctx context.Context, pipe redis.Pipeliner, s *Sink, p sinks.Payload) redis.Cmder
	validate func(s *Sink, p sinks.Payload) error
}

// modes are those of the setting.
var modes = map[string]mode{
	"set": {
		queue: func(ctx context.Context, pipe redis.Pipeliner, s *Sink, p sinks.Payload) redis.Cmder {
			return pipe.Set(ctx, s.key(p), []byte(p.Value), p.TTL)
		},
		validate: validateKey,
	},
	"stream": {
		queue: func(ctx context.Context, pipe redis.Pipeliner, s *Sink, p sinks.Payload) redis.Cmder {
			return pipe.XAdd(ctx, &redis.XAddArgs{
				Stream: s.key(p), MaxLen: s.maxLen, Approx: s.maxLen > 0, Values: []any{"data", []byte(p.Value), "id", p.ID},
			})
		},
		validate: validateName,
	},
	"list": {
		queue: func(ctx context.Context, pipe redis.Pipeliner, s *Sink, p sinks.Payload) redis.Cmder {
			return pipe.RPush(ctx, s.key(p), []byte(p.Value))
		},
		validate: validateName,
	},
	"publish": {
		queue: func(ctx context.Context, pipe redis.Pipeliner, s *Sink, p sinks.Payload) redis.Cmder {
			return pipe.Publish(ctx, s.key(p), []byte(p.Value))
		},
		validate: validateName,
	},
}

func (s *Sink) key(p sinks.Payload) string { return s.prefix + string(p.Key) }

// validateKey wants a key of the payload's own: without, each would replace the
// one before.
func validateKey(_ *Sink, p sinks.Payload) error {
	switch {
	case len(p.Key) == 0:
		return errors.New("it has no key")
	case p.TTL < 0 || p.TTL > 0 && p.TTL < time.Millisecond:
		return fmt.Errorf("a ttl of %s is less than Redis knows: use 1ms or more, or 0 for ever", p.TTL)
	}
	return nil
}

func validateName(s *Sink, p sinks.Payload) error {
	switch {
	case s.key(p) == "":
		return errors.New("it has no key, and the sink has no key_prefix that could stand for it")
	case p.TTL != 0:
		return errors.New("a ttl needs the mode set: entries of streams, lists and channels have none")
	}
	return nil
}
