package executor

import (
	"os/exec"
	"sync"
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

// BenchmarkExec is the bare os/exec loop that BenchmarkPool is measured by.
func BenchmarkExec(b *testing.B) {
	inParallel(b, func() error {
		_, err := exec.Command("/bin/true", "x").CombinedOutput()
		return err
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
}
