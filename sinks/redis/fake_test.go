package redis_test

import (
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// fake is a Redis in this process that answers with errors on order.
type fake struct{ *miniredis.Miniredis }

func newFake(t *testing.T) *fake {
	t.Helper()

	f := &fake{miniredis.RunT(t)}
	f.RequireAuth("hunter2")
	return f
}

func (f *fake) url(password string) string { return "redis://:" + password + "@" + f.Addr() + "/0" }

// urlOf is the address of a "server", or of a "cluster" of this one node.
func (f *fake) urlOf(kind string) string {
	if kind == "cluster" {
		return strings.Replace(f.url("hunter2"), "redis:", "redis-cluster:", 1)
	}
	return f.url("hunter2")
}

// on calls f for a command about a key; it says whether it has answered.
func (f *fake) on(command, key string, answer func(*server.Peer)) {
	f.Server().SetPreHook(func(p *server.Peer, cmd string, args ...string) bool {
		if p.Closed() { // what came with it is not read any more
			return true
		}
		if !strings.EqualFold(cmd, command) || len(args) == 0 || args[0] != key {
			return false
		}
		answer(p)
		return true
	})
}

func (f *fake) refuse(command, key, answer string) {
	f.on(command, key, func(p *server.Peer) { p.WriteError(answer) })
}

func (f *fake) hangUpAt(command, key string) {
	f.on(command, key, func(p *server.Peer) {
		p.Flush()
		p.Close()
	})
}
