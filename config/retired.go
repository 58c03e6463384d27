package config

import (
	"maps"
	"slices"
	"strings"
)

const notYet = "is not supported yet by this version and has no effect"

// retired are settings of older files which this version accepts and does not
// have, with what to tell about them.
var retired = map[string]string{
	"kafka.max_poll_records": "has no effect: ingest.high_messages and ingest.partition_high_messages bound what is read ahead, " +
		"executor.window_size what is worked on together",
	"kafka.startup_align_enabled":           "has no effect: a rebalance interrupts no work, so starts need not be aligned",
	"kafka.startup_min_wait_seconds":        "has no effect: a rebalance interrupts no work, so starts need not wait",
	"kafka.startup_align_interval_seconds":  "has no effect: a rebalance interrupts no work, so starts need not be aligned",
	"executor.backpressure_high_multiplier": "has no effect: use ingest.high_messages and ingest.high_bytes",
	"executor.backpressure_low_multiplier":  "has no effect: use ingest.low_messages and ingest.low_bytes",

	"debug.allowed_ws_origins":          notYet,
	"debug.debug_url":                   notYet,
	"debug.db_dir":                      notYet,
	"debug.store_events":                notYet,
	"debug.store_config":                notYet,
	"debug.store_state":                 notYet,
	"debug.state_sync_interval_seconds": notYet,
	"debug.expose_env_vars":             notYet,
	"debug.rotation_interval_minutes":   notYet,
	"debug.retention_hours":             notYet,
	"debug.retention_max_events":        notYet,
	"debug.store_output":                notYet,
	"debug.flush_interval_seconds":      notYet,
	"debug.max_buffer":                  notYet,
	"debug.max_flush_retries":           notYet,
	"debug.max_ui_rows":                 notYet,
	"debug.log_min_duration_ms":         notYet + ": logging.slow_task says which tasks are logged",
	"debug.ws_min_duration_ms":          notYet,
	"debug.event_min_duration_ms":       notYet,
	"debug.output_min_duration_ms":      notYet,
	"debug.prometheus_url":              notYet,
	"debug.prometheus_rate_interval":    notYet,
	"debug.prometheus_worker_label":     notYet,
	"debug.prometheus_cluster_label":    notYet,
	"debug.custom_links":                notYet,

	"cache.enabled":                          notYet,
	"cache.db_dir":                           notYet,
	"cache.flush_interval_seconds":           notYet,
	"cache.cleanup_interval_seconds":         notYet,
	"cache.max_memory_entries":               notYet,
	"cache.peer_sync.enabled":                notYet,
	"cache.peer_sync.interval_seconds":       notYet,
	"cache.peer_sync.batch_size":             notYet,
	"cache.peer_sync.timeout_seconds":        notYet,
	"cache.peer_sync.cycle_deadline_seconds": notYet,
}

// retiredBelow are the keys directly below a section which are retired, or
// hold what is. The root is "".
func retiredBelow(key string) []string {
	names := map[string]bool{}
	prefix := key + "."
	if key == "" {
		prefix = ""
	}
	for full := range retired {
		if rest, ok := strings.CutPrefix(full, prefix); ok {
			name, _, _ := strings.Cut(rest, ".")
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
