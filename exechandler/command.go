package exechandler

import (
	"fmt"
	"maps"
	"slices"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
)

// command are the templates of a task.
type command struct {
	binary string
	args   []field
	stdin  *field
	env    map[string]field
}

func compileCommand(c *compiler, cfg config.ExecHandler) command {
	out := command{binary: cfg.Binary}
	known := messageFields(cfg)
	for i, arg := range cfg.Args {
		out.args = append(out.args, c.compile(fmt.Sprintf("handler.exec.args[%d]", i), arg, known))
	}
	if cfg.Stdin != nil {
		f := c.compile("handler.exec.stdin", *cfg.Stdin, known)
		out.stdin = &f
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Env)) {
		if out.env == nil {
			out.env = map[string]field{}
		}
		out.env[name] = c.compile("handler.exec.env."+name, cfg.Env[name], known)
	}
	return out
}

// render fills in the task. The error is about the first template that cannot
// be rendered.
func (c command) render(m message, t *drakkar.Task) error {
	t.Binary = c.binary
	for _, f := range c.args {
		arg, err := f.render(m)
		if err != nil {
			return err
		}
		t.Args = append(t.Args, string(arg))
	}
	if c.stdin != nil {
		stdin, err := c.stdin.render(m)
		if err != nil {
			return err
		}
		t.Stdin = stdin
	}
	for _, name := range slices.Sorted(maps.Keys(c.env)) {
		value, err := c.env[name].render(m)
		if err != nil {
			return err
		}
		if t.Env == nil {
			t.Env = make(map[string]string, len(c.env))
		}
		t.Env[name] = string(value)
	}
	return nil
}
