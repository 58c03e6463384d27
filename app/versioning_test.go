package app

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/activities"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

func TestVersioning(t *testing.T) {
	t.Parallel()

	cfg := settings()
	cfg.Pipeline = "checksums"
	opts, err := versioning(cfg)
	require.NoError(t, err)
	require.False(t, opts.UseVersioning, "off by default")

	cfg.Temporal.Versioning = "pinned"
	opts, err = versioning(cfg)
	require.NoError(t, err)
	require.True(t, opts.UseVersioning)
	require.Equal(t, workflow.VersioningBehaviorPinned, opts.DefaultVersioningBehavior)
	require.Equal(t, "checksums", opts.Version.DeploymentName)
	require.Len(t, opts.Version.BuildID, shortID, "a sum of this test program")

	cfg.Temporal.Versioning, cfg.Temporal.BuildID = "auto_upgrade", "v2"
	opts, err = versioning(cfg)
	require.NoError(t, err)
	require.Equal(t, workflow.VersioningBehaviorAutoUpgrade, opts.DefaultVersioningBehavior)
	require.Equal(t, "v2", opts.Version.BuildID)
}

// registered notes how workflows are registered.
type registered struct {
	worker.Registry
	workflows map[string]workflow.VersioningBehavior
}

func (r *registered) RegisterWorkflowWithOptions(_ any, o workflow.RegisterOptions) {
	r.workflows[o.Name] = o.VersioningBehavior
}

func (r *registered) RegisterActivityWithOptions(any, activity.RegisterOptions) {}

// The workflow that never ends moves on with each build, or its first one would
// never be done with.
func TestVersioning_Store(t *testing.T) {
	t.Parallel()

	r := &registered{workflows: map[string]workflow.VersioningBehavior{}}
	registerWindows(r, activities.New(activities.Deps{}, activities.Config{}))
	require.Equal(t, map[string]workflow.VersioningBehavior{
		workflows.WindowWorkflow:    workflow.VersioningBehaviorUnspecified,
		workflows.RebalanceWorkflow: workflow.VersioningBehaviorUnspecified,
		workflows.StoreWorkflow:     workflow.VersioningBehaviorAutoUpgrade,
	}, r.workflows)
}

// Temporal keeps . and : for itself; pipelines that differ only in them have
// deployments of their own.
func TestDeploymentName(t *testing.T) {
	t.Parallel()

	require.Equal(t, "a-b_c", deploymentName("a-b_c"))
	names := map[string]bool{}
	for _, pipeline := range []string{"a_b", "a.b", "a:b"} {
		name := deploymentName(pipeline)
		require.NotContains(t, name, ".")
		require.NotContains(t, name, ":")
		names[name] = true
	}
	require.Len(t, names, 3)
}

func TestCleanRevision(t *testing.T) {
	t.Parallel()

	at := func(revision, modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: modified}}
	}
	require.Equal(t, "0123456789ab", cleanRevision(at("0123456789abcdef", "false")))
	require.Equal(t, "0123", cleanRevision(at("0123", "false")))
	require.Empty(t, cleanRevision(at("0123456789abcdef", "true")), "two builds with changes are not the same build")
	require.Empty(t, cleanRevision(nil))
}

func TestSDKMetrics(t *testing.T) {
	t.Parallel()

	var got []events.Event
	m := newSDKMetrics(events.RecorderFunc(func(e events.Event) { got = append(got, e) }))
	tagged := m.WithTags(map[string]string{"workflow_type": "Window", "failure_reason": "WorkflowError"})
	tagged.WithTags(map[string]string{"failure_reason": "NonDeterminismError"}).Counter("temporal_workflow_task_execution_failed").Inc(1)
	tagged.Counter("temporal_request").Inc(1)
	tagged.Gauge("temporal_sticky_cache_size").Update(1)
	tagged.Timer("temporal_request_latency").Record(1)
	require.Equal(t, []events.Event{events.WorkflowTaskFailed{Workflow: "Window", Reason: "NonDeterminismError"}}, got)
}
