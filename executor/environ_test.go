package executor

import (
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
)

func TestMatches(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"A", "A", true},
		{"A", "AB", false},
		{"*", "", true},
		{"", "", true},
		{"", "A", false},
		{"A*", "ABC", true},
		{"*C", "ABC", true},
		{"*B", "ABC", false},
		{"*B*", "ABC", true},
		{"*X*", "ABC", false},
		{"A*A", "A", false},
		{"*AB*AB", "AB", false},
		{"*A*B*C*", "xAxBxCx", true},
		{"*A*B*C*", "xAxCxBx", false},
		{"A[B]", "A[B]", true},
	} {
		require.Equal(t, tt.want, matches(tt.pattern, tt.name), "%q %q", tt.pattern, tt.name)
	}
}

// Where the pattern has nothing that path.Match reads in another way, both
// agree.
func FuzzMatches(f *testing.F) {
	f.Add("*_KEY", "API_KEY")
	f.Add("A**B*", "AxBy")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.ContainsAny(pattern, `?[]\/`) || strings.Contains(name, "/") {
			t.Skip("other syntax")
		}
		want, err := path.Match(pattern, name)
		require.NoError(t, err)
		require.Equal(t, want, matches(pattern, name))
	})
}

// Ids come from handlers and may hold anything.
func TestTaskEnviron_AnyID(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	task := sh(`printf %s "$` + TaskEnv + `"`)
	task.ID = strings.Repeat("é", 100) + "\x00"
	got := b.run(t, task).Stdout.String()
	require.True(t, strings.HasPrefix(got, b.pool.token+":1:éé"))
	require.NotContains(t, got, "\x00")

	task.ID = "a\x00b"
	require.Equal(t, b.pool.token+":2:a", b.run(t, task).Stdout.String())
}

// Runs share the common part and must not write to each other's.
func TestTaskEnviron_IsACopy(t *testing.T) {
	t.Parallel()

	b := setup(t, nil)
	b.pool.environ = append(make([]string, 0, 8), "A=1")
	one := b.pool.taskEnviron(drakkar.Task{ID: "one"}, 1)
	two := b.pool.taskEnviron(drakkar.Task{ID: "two"}, 2)
	require.Contains(t, one[1], "one")
	require.Contains(t, two[1], "two")
}
