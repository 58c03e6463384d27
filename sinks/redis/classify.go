package redis

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/drakkar-go/drakkar/sinks"
)

// classify says whether the payload itself is at fault. Whatever the server
// may get over, or its operator can mend, is not: LOADING, READONLY, MOVED,
// CLUSTERDOWN, OOM, MISCONF, NOREPLICAS, NOAUTH, WRONGPASS and the like.
func classify(err error) sinks.Class {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return sinks.Transient
	}
	code, text, _ := strings.Cut(answer.Error(), " ")
	permanent := false
	switch code {
	case "WRONGTYPE": // the key holds something else
		permanent = true
	case "NOPERM": // for what the payload names; a command is the operator's to allow
		permanent = strings.Contains(strings.ToLower(text), "permissions to access ")
	case "ERR":
		// The bulk length is refused where proto-max-bulk-len is lower than usual.
		permanent = strings.Contains(text, "exceeds maximum allowed size") || strings.Contains(text, "invalid bulk length") ||
			strings.Contains(text, "invalid expire")
	}
	if permanent {
		return sinks.Permanent
	}
	return sinks.Transient
}
