package executor

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/drakkar-go/drakkar"
)

// TaskEnv is a variable in the environment of every program. Its value is a
// random text of the pool, the number of the run and the task's id, or "resident"
// for a program that takes task after task, with colons between them. A process that carries it came of that run, which is
// how the pool knows what to end; a program that removes it from its
// descendants keeps them from being found once they left its process group.
const TaskEnv = "DRAKKAR_TASK"

// maxTaskID bounds the id in TaskEnv: it is for people.
const maxTaskID = 128

// baseEnviron is what the environments of all programs have in common.
func baseEnviron(cfg Config) []string {
	var environ []string
	if cfg.EnvInheritParent {
		for _, entry := range cfg.Environ {
			name, _, ok := strings.Cut(entry, "=")
			if ok && name != "" && !denied(name, cfg.EnvInheritDeny) {
				environ = append(environ, entry)
			}
		}
	}
	return appendEnv(environ, cfg.Env)
}

// taskEnviron is the environment of one run: the common part, the task's own,
// and the mark. Of entries with one name the last counts.
func (p *Pool) taskEnviron(t drakkar.Task, run uint64) []string {
	id, _, _ := strings.Cut(t.ID, "\x00")
	return append(p.environOf(t), p.mark(run, bounded(id, maxTaskID)))
}

// residentEnviron is the environment of a resident program for tasks like t.
func (p *Pool) residentEnviron(t drakkar.Task, run uint64) []string {
	return append(p.environOf(t), ResidentEnv+"="+p.cfg.Resident.Framing, p.mark(run, "resident"))
}

// environOf is the common part and the task's own.
func (p *Pool) environOf(t drakkar.Task) []string {
	environ := make([]string, len(p.environ), len(p.environ)+len(t.Env)+2)
	copy(environ, p.environ)
	return appendEnv(environ, t.Env)
}

func (p *Pool) mark(run uint64, who string) string {
	return TaskEnv + "=" + p.token + ":" + strconv.FormatUint(run, 10) + ":" + who
}

// appendEnv adds a map in the order of its names.
func appendEnv(environ []string, env map[string]string) []string {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		environ = append(environ, name+"="+env[name])
	}
	return environ
}

// denied reports whether a pattern matches the name.
func denied(name string, patterns []string) bool {
	name = strings.ToUpper(name)
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return matches(strings.ToUpper(pattern), name)
	})
}

// matches reports whether the pattern, in which * stands for any text, matches
// the whole name.
func matches(pattern, name string) bool {
	head, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := len(parts) - 1
	for _, part := range parts[:last] { // the leftmost match leaves most for the others
		_, after, ok := strings.Cut(name, part)
		if !ok {
			return false
		}
		name = after
	}
	return strings.HasSuffix(name, parts[last])
}

// bounded cuts text to max bytes, and makes it valid UTF-8.
func bounded(text string, max int) string {
	if len(text) > max {
		text = text[:max]
	}
	return strings.ToValidUTF8(text, "")
}
