package drakkar

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// CheckTasks fills in missing ids, sorts source offsets, and refuses tasks
// which name no message, a message outside of the window, or an id twice, and
// those which could not travel: their ids and names of variables must be valid
// UTF-8, their Mode known, their Priority finite, and their Metadata encodable
// as JSON. The error is about the first of them.
func CheckTasks(tasks []Task, partition int32, inWindow func(offset int64) bool) error {
	seen := make(map[string]int, len(tasks))
	for i := range tasks {
		t := &tasks[i]
		if len(t.SourceOffsets) == 0 {
			return fmt.Errorf("task %d (%q) names no message: make it with msg.Task(...) or set SourceOffsets", i, t.ID)
		}
		t.SourceOffsets = slices.Clone(t.SourceOffsets)
		slices.Sort(t.SourceOffsets)
		t.SourceOffsets = slices.Compact(t.SourceOffsets)
		for _, o := range t.SourceOffsets {
			if !inWindow(o) {
				return fmt.Errorf("task %d (%q) names offset %d, which is not a message of this window", i, t.ID, o)
			}
		}
		if t.ID == "" {
			t.ID = strconv.Itoa(int(partition)) + "-" + strconv.FormatInt(t.SourceOffsets[0], 10) + "-w" + strconv.Itoa(i)
		}
		if first, dup := seen[t.ID]; dup {
			return fmt.Errorf("tasks %d and %d have the same id %q", first, i, t.ID)
		}
		seen[t.ID] = i
		if err := t.travels(); err != nil {
			return fmt.Errorf("task %d (%q): %w", i, t.ID, err)
		}
	}
	return nil
}

// travels finds what would be lost or refused when the task is written into a
// window's history. Found here, it is an error of the hook that made the task.
func (t *Task) travels() error {
	if !utf8.ValidString(t.ID) || !utf8.ValidString(t.ParentID) {
		return errors.New("its id is not valid UTF-8")
	}
	for name := range t.Env {
		if !utf8.ValidString(name) {
			return fmt.Errorf("the name %q in its Env is not valid UTF-8", name)
		}
	}
	if t.Mode != "" && t.Mode != ModeSpawn && t.Mode != ModeResident {
		return fmt.Errorf("its Mode is %q, which is neither %s nor %s", t.Mode, ModeSpawn, ModeResident)
	}
	if p := t.Priority; p != nil && (math.IsNaN(*p) || math.IsInf(*p, 0)) {
		return fmt.Errorf("its Priority is %v", *p)
	}
	if len(t.Metadata) == 0 {
		return nil
	}
	return guard("encoding its Metadata", func() error { // calls MarshalJSON of the handler's types
		_, err := json.Marshal(t.Metadata)
		return err
	})
}
