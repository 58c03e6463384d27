package redis

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// once keeps the client of a cluster from repeating a node's pipeline with what
// was done of it. Commands that a node sends on to another, of which it has
// done nothing, still go there: slots may move at any time.
type once struct{}

var _ redis.Hook = once{}

// DialHook implements redis.Hook.
func (once) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (once) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (once) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		marked := make([]redis.Cmder, len(cmds))
		for i, cmd := range cmds {
			marked[i] = unrepeated{cmd}
		}
		return next(ctx, marked)
	}
}

// unrepeated is a command that the client does not repeat after a failure.
type unrepeated struct{ redis.Cmder }

// NoRetry implements redis.Cmder.
func (unrepeated) NoRetry() bool { return true }
