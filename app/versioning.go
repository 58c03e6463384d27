package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar/config"
)

// Values of temporal.versioning and temporal.promote.
const (
	versioningOff    = "off"
	versioningPinned = "pinned"
	promoteAuto      = "auto"
)

// versioning is how executors of several builds share the windows, and what
// this build is called.
func versioning(cfg *config.Config) (worker.DeploymentOptions, error) {
	if cfg.Temporal.Versioning == versioningOff {
		return worker.DeploymentOptions{}, nil
	}
	build := cfg.Temporal.BuildID
	if build == "" {
		var err error
		if build, err = buildID(); err != nil {
			return worker.DeploymentOptions{}, fmt.Errorf("naming this build, which temporal.build_id would do: %w", err)
		}
	}
	behavior := workflow.VersioningBehaviorAutoUpgrade
	if cfg.Temporal.Versioning == versioningPinned {
		behavior = workflow.VersioningBehaviorPinned
	}
	return worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: deploymentName(cfg.Pipeline), BuildID: build},
		DefaultVersioningBehavior: behavior,
	}, nil
}

// deploymentName is the pipeline's, without the characters that Temporal keeps
// for itself. A name that had some gets a suffix, so that two pipelines never
// share a deployment.
func deploymentName(pipeline string) string {
	name := strings.NewReplacer(".", "_", ":", "_").Replace(pipeline)
	if name == pipeline {
		return name
	}
	return fmt.Sprintf("%s-%x", name, sha256.Sum256([]byte(pipeline)))[:len(name)+9]
}

// shortID is how many characters of a revision or a sum name a build.
const shortID = 12

// buildID names the running program: by the revision it was built from, or,
// where the build does not tell or had changes, by a sum of the file.
func buildID() (string, error) {
	if info, ok := debug.ReadBuildInfo(); ok {
		if revision := cleanRevision(info.Settings); revision != "" {
			return revision, nil
		}
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the file of this program: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the file of this program: %w", err)
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("reading the file of this program: %w", err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))[:shortID], nil
}

// cleanRevision is the revision that a program was built from, when it was
// built from nothing else.
func cleanRevision(settings []debug.BuildSetting) string {
	revision, clean := "", false
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			clean = s.Value == "false"
		}
	}
	if !clean {
		return ""
	}
	return revision[:min(shortID, len(revision))]
}

// promotePause is the pause between looks at a version that Temporal does not
// know yet, or that it did not make current.
const promotePause = 500 * time.Millisecond

// promotion makes the build of this executor the one that new windows go to.
type promotion struct {
	deployment client.WorkerDeploymentHandle
	build      string
	log        *zap.Logger
}

// startPromotion begins to promote this build, beside everything else.
func (a *App) startPromotion(c client.Client, opts worker.DeploymentOptions) {
	if !opts.UseVersioning {
		return
	}
	v := opts.Version
	log := a.log.With(zap.String("labels.build", v.BuildID))
	if a.cfg.Temporal.Promote != promoteAuto {
		log.Info(fmt.Sprintf("build %s waits until it is made current: temporal worker deployment set-current-version --deployment-name %s --build-id %s",
			v.BuildID, v.DeploymentName, v.BuildID))
		return
	}
	p := &promotion{deployment: c.WorkerDeploymentClient().GetHandle(v.DeploymentName), build: v.BuildID, log: log}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run(ctx)
	}()
	a.ends.push("the promotion of this build", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// run tries until the build is current, or has been before.
func (p *promotion) run(ctx context.Context) {
	for n := 0; ; n++ {
		done, err := p.attempt(ctx)
		if done || ctx.Err() != nil {
			return
		}
		if err != nil && n%60 == 10 { // the first polls have to arrive first
			p.log.Warn("making build "+p.build+" the current one", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(promotePause):
		}
	}
}

// attempt makes the build current unless it ever was: an older build that is
// restarted in the middle of an upgrade, or after a rollback, leaves the
// decision as it is.
func (p *promotion) attempt(ctx context.Context) (done bool, err error) {
	version, err := p.deployment.DescribeVersion(ctx, client.WorkerDeploymentDescribeVersionOptions{BuildID: p.build})
	if err != nil {
		return false, fmt.Errorf("describing the version: %w", err)
	}
	if !version.Info.RoutingChangedTime.IsZero() {
		if version.Info.CurrentSinceTime.IsZero() {
			p.log.Warn("build " + p.build + " was current once and is not any more: it finishes its windows and begins none")
		}
		return true, nil
	}
	deployment, err := p.deployment.Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if err != nil {
		return false, fmt.Errorf("describing the deployment: %w", err)
	}
	_, err = p.deployment.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{
		BuildID: p.build, ConflictToken: deployment.ConflictToken,
	})
	if conflict, ok := errors.AsType[*serviceerror.FailedPrecondition](err); ok {
		return false, conflict // another executor was faster, or a queue is not polled yet
	}
	if err != nil {
		return false, fmt.Errorf("making the version current: %w", err)
	}
	p.log.Info("build " + p.build + " is current: new windows go to its executors")
	return true, nil
}
