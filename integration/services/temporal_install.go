package services

import (
	"context"
	"debug/buildinfo"
	"errors"
	"path/filepath"
)

// TemporalVersion is the version of the Temporal CLI, whose development server
// is used. Later ones cannot be installed by go install.
const TemporalVersion = "v1.5.1"

const temporalPackage = "github.com/temporalio/cli/cmd/temporal"

// InstallTemporal builds the Temporal CLI into the home, if it is not there,
// and returns its path. It takes about two minutes on two cores.
func InstallTemporal(ctx context.Context, h Home) (binary string, err error) {
	bin := filepath.Join(h.Dir, "bin")
	binary = filepath.Join(bin, "temporal")
	return binary, h.locked(func() error {
		info, err := buildinfo.ReadFile(binary)
		if err == nil && info.Path == temporalPackage && info.Main.Version == TemporalVersion {
			return nil
		}
		if len(missing("go")) > 0 {
			return errors.New("the Temporal CLI is built by go install: go is not in PATH")
		}
		return h.run(ctx, tool{
			doing: "building the Temporal CLI " + TemporalVersion + ", which takes some minutes the first time",
			dir:   h.Dir, name: "go", env: []string{"GOBIN=" + bin},
			args: []string{"install", temporalPackage + "@" + TemporalVersion},
		})
	})
}
