package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParse: no input panics; what loads is valid and stays so; problems are
// never empty and name something.
func FuzzParse(f *testing.F) {
	for _, seed := range []struct{ file, environ string }{
		{seedFile, ""},
		{secretsFile, "A=1"},
		{"kafka: &a\n  <<: *a\n  brokers: x", ""},
		{"sinks: {kafka: {a: &a {topic: t, <<: [*a, *a]}, b: *a}}", "DRAKKAR_SINKS__KAFKA__A__TOPIC=x"},
		{"executor: {window_size: 0, env: {A: ${B:-c}}, task_timeout_seconds: .inf}", "DRAKKAR_EXECUTOR__ENV__x=1"},
		{"handler: {exec: {deliver: [{type: kafka}, {}, 3]}}", `DRAKKAR_HANDLER={"exec":{"stdin":null,"args":["a"]}}`},
		{"cache: {peer_sync: {enabled: 1}}\n? [a]\n: b", "DRAKKAR_CACHE=[]"},
		{"---\n...\n", "DRAKKAR___=\nDRAKKAR_SINKS__REDIS____URL=x"},
		{"!!binary x: y", "DRAKKAR_EXECUTOR__MAX_RETRIES="},
	} {
		f.Add(seed.file, seed.environ)
	}
	f.Fuzz(func(t *testing.T, file, environ string) {
		if strings.Contains(file, "${file:") {
			t.Skip("reads files of this machine")
		}
		cfg, _, err := Parse([]byte(file), "f.yaml", strings.Split(environ, "\n"))
		if err != nil {
			var problems Problems
			require.ErrorAs(t, err, &problems)
			require.NotEmpty(t, problems)
			for _, p := range problems {
				require.NotEmpty(t, p.Key)
				require.NotEmpty(t, p.Text)
			}
			return
		}
		require.NoError(t, cfg.Validate())
		require.NotEmpty(t, cfg.String())
	})
}
