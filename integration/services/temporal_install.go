package services

import "context"

const (
	// TemporalVersion is the version of the Temporal CLI, whose development
	// server is used. Later ones cannot be built from the module proxy.
	TemporalVersion = "v1.5.1"

	temporalModule = "github.com/temporalio/cli"
)

// InstallTemporal builds the Temporal CLI into the home, if it is not there,
// and returns its path. It takes about two minutes on two cores.
func InstallTemporal(ctx context.Context, h Home) (binary string, err error) {
	return goProgram{
		name: "temporal", title: "the Temporal CLI " + TemporalVersion,
		require: map[string]string{temporalModule: TemporalVersion, sqliteModule: sqliteVersion},
		pkg:     temporalModule + "/cmd/temporal",
	}.install(ctx, h)
}
