package executor

import (
	"bytes"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

const benchSlots = 4

// BenchmarkPool runs programs that end at once; compare with BenchmarkExec.
func BenchmarkPool(b *testing.B) {
	p, err := New(Config{
		Slots: benchSlots, BinaryPath: "/bin/true", EnvInheritParent: true,
		TaskTimeout: time.Minute, KillGrace: time.Second, MaxOutputBytes: 1 << 20,
	}, Deps{})
	require.NoError(b, err)
	require.NoError(b, p.Start(b.Context()))
	defer func() { _ = p.Stop(b.Context()) }()

	at := events.At{Topic: "t"}
	inParallel(b, func() error {
		_, err := p.Run(b.Context(), Job{Task: drakkar.Task{ID: "t", Args: []string{"x"}}, At: at})
		return err
	})
}

// BenchmarkResident runs the same trivial task by resident programs: compare
// with BenchmarkPool, which is how a spawned one does.
func BenchmarkResident(b *testing.B) {
	self, err := os.Executable()
	require.NoError(b, err)
	for _, framing := range []string{FramingLines, FramingLength} {
		b.Run(framing, func(b *testing.B) {
			p, err := New(Config{
				Slots: benchSlots, BinaryPath: self, Env: map[string]string{helperEnv: "resident"}, EnvInheritParent: true,
				TaskTimeout: time.Minute, KillGrace: time.Second, MaxOutputBytes: 1 << 20,
				Mode: drakkar.ModeResident, Resident: Resident{Framing: framing},
			}, Deps{})
			require.NoError(b, err)
			require.NoError(b, p.Start(b.Context()))
			defer func() { _ = p.Stop(b.Context()) }()

			inParallel(b, func() error {
				_, err := p.Run(b.Context(), Job{Task: drakkar.Task{ID: "t", Args: []string{"echo", "x"}}, At: events.At{Topic: "t"}})
				return err
			})
		})
	}
}

// BenchmarkExec is the bare os/exec loop that BenchmarkPool is measured by, with
// both outputs captured, and without.
func BenchmarkExec(b *testing.B) {
	b.Run("Captured", func(b *testing.B) {
		inParallel(b, func() error {
			cmd := exec.Command("/bin/true", "x")
			cmd.Stdout, cmd.Stderr = new(bytes.Buffer), new(bytes.Buffer)
			return cmd.Run()
		})
	})
	b.Run("Bare", func(b *testing.B) {
		inParallel(b, func() error { return exec.Command("/bin/true", "x").Run() })
	})
}

// inParallel runs f b.N times, as many at once as there are slots.
func inParallel(b *testing.B, f func() error) {
	b.Helper()

	left := make(chan struct{}, b.N)
	for range b.N {
		left <- struct{}{}
	}
	close(left)
	var workers sync.WaitGroup
	before := usedCPU(b)
	b.ResetTimer()
	for range benchSlots {
		workers.Go(func() {
			for range left {
				if err := f(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	workers.Wait()
	b.ReportMetric(float64((usedCPU(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// usedCPU is the CPU time of this process and of the programs it has run. Other
// than the time of a run it is the same on a busy machine.
func usedCPU(b *testing.B) (sum time.Duration) {
	b.Helper()

	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(who, &u))
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}
