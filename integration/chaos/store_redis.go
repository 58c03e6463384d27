package chaos

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// redisStore is keys in Redis, one for a task. There a payload brings its own
// key: that of a receipt is the id of the task, which like the delivery id comes
// of the message's place in the source.
type redisStore struct {
	url, prefix string
	client      *redis.Client
}

func newRedisStore(url, group string) (*redisStore, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("reading the address of Redis: %w", err)
	}
	return &redisStore{url: url, prefix: group + ":", client: redis.NewClient(o)}, nil
}

func (s *redisStore) name() string { return "redis" }

func (s *redisStore) sink() section {
	return section{"redis": section{"store": section{"url": s.url, "key_prefix": s.prefix}}}
}

// rows implements store.
func (s *redisStore) rows(ctx context.Context, each func(n int)) error {
	seen := map[string]bool{} // a scan may name a key twice
	keys := s.client.Scan(ctx, 0, s.prefix+"*", 1000).Iterator()
	for keys.Next(ctx) {
		if seen[keys.Val()] {
			continue
		}
		seen[keys.Val()] = true
		value, err := s.client.Get(ctx, keys.Val()).Bytes()
		if err != nil {
			return fmt.Errorf("reading the key %s: %w", keys.Val(), err)
		}
		var got receipt
		if err := json.Unmarshal(value, &got); err != nil {
			return fmt.Errorf("decoding the key %s: %w", keys.Val(), err)
		}
		each(got.N)
	}
	if err := keys.Err(); err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	return nil
}

func (s *redisStore) close() error { return s.client.Close() }
