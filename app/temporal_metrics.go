package app

import (
	"maps"

	"go.temporal.io/sdk/client"

	"github.com/drakkar-go/drakkar/events"
)

// The one figure of Temporal's SDK that no event of ours tells: steps of
// workflows that could not be made. The names are the SDK's, the same in all
// languages.
const (
	sdkStepFailed   = "temporal_workflow_task_execution_failed"
	sdkTagReason    = "failure_reason"
	sdkTagsWorkflow = "workflow_type"
)

// sdkMetrics turns that figure into events and drops all others.
type sdkMetrics struct {
	client.MetricsHandler

	tags map[string]string
	rec  events.Recorder
}

func newSDKMetrics(rec events.Recorder) client.MetricsHandler {
	return &sdkMetrics{MetricsHandler: client.MetricsNopHandler, rec: rec}
}

// WithTags implements client.MetricsHandler.
func (m *sdkMetrics) WithTags(tags map[string]string) client.MetricsHandler {
	all := make(map[string]string, len(m.tags)+len(tags))
	maps.Copy(all, m.tags)
	maps.Copy(all, tags)
	return &sdkMetrics{MetricsHandler: m.MetricsHandler, tags: all, rec: m.rec}
}

// Counter implements client.MetricsHandler.
func (m *sdkMetrics) Counter(name string) client.MetricsCounter {
	if name != sdkStepFailed {
		return m.MetricsHandler.Counter(name)
	}
	return stepFailures{workflow: m.tags[sdkTagsWorkflow], reason: m.tags[sdkTagReason], rec: m.rec}
}

// stepFailures is the counter.
type stepFailures struct {
	workflow, reason string
	rec              events.Recorder
}

// Inc implements client.MetricsCounter.
func (s stepFailures) Inc(n int64) {
	for range n {
		s.rec.Record(events.WorkflowTaskFailed{Workflow: s.workflow, Reason: s.reason})
	}
}
