package config

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// eachField calls do for every field of every section.
func eachField(t reflect.Type, at path, do func(at path, f field)) {
	for _, f := range sectionOf(t).fields {
		child := at.child(f.name)
		do(child, f)
		switch f.kind {
		case kindSection:
			eachField(f.typ, child, do)
		case kindInstances, kindItems:
			eachField(f.typ.Elem(), child, do)
		}
	}
}

func knownLeaf(key string) (field, bool) {
	var found field
	ok := false
	eachField(reflect.TypeFor[Config](), path{}, func(at path, f field) {
		if at.key == key {
			found, ok = f, true
		}
	})
	return found, ok
}

func TestEverySettingIsDescribed(t *testing.T) {
	t.Parallel()

	count := 0
	eachField(reflect.TypeFor[Config](), path{}, func(at path, f field) {
		count++
		require.NotEqual(t, kindUnknown, f.kind, "%s: a type that cannot be read", at.text)
		require.Regexp(t, `^[a-z][a-z0-9_]*$`, f.name)
		if f.isNested() {
			elem := f.typ
			if f.kind != kindSection {
				elem = f.typ.Elem()
			}
			require.NotEmpty(t, docs[elem.Name()], "%s: the section has no comment", at.text)
			return
		}
		require.NotEmpty(t, docs[f.goName], "%s: no comment", at.text)
		if f.kind == kindInt || f.kind == kindInts || f.kind == kindDuration {
			l := newLimits(elementOf(f))
			require.NotNil(t, l.low, "%s: no range", at.text)
			low, high, _ := strings.Cut(f.limits, "..")
			require.Equal(t, high != "", l.high != nil, "%s: malformed range %s..%s", at.text, low, high)
		}
	})
	require.Greater(t, count, 150, "the test looks in the wrong place")
}

func TestTagsAreKnown(t *testing.T) {
	t.Parallel()

	eachField(reflect.TypeFor[Config](), path{}, func(at path, f field) {
		require.Contains(t, []string{"", secretAll, secretURL, secretNames}, f.secret, at.text)
		require.Equal(t, f.kind == kindTexts, f.keys != "", "%s: maps of texts, and only those, say how keys are written", at.text)
		for _, word := range []string{"password", "token", "api_key", "dsn", "uri"} {
			if strings.HasSuffix(f.name, word) {
				require.NotEmpty(t, f.secret, "%s: not marked secret", at.text)
			}
		}
	})
	require.NoError(t, Default().Validate(), "defaults are within ranges")
}

func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()

	written, err := os.ReadFile("../docs/configuration.md")
	require.NoError(t, err)
	require.Equal(t, Reference(), string(written), "run go generate ./config")
	require.NotContains(t, Reference(), "\n\n\n")
	require.Contains(t, Reference(), "| `window_size` | whole number | `500` | 1..10000 | Most messages in one window. | `DRAKKAR_EXECUTOR__WINDOW_SIZE` |")
	require.Contains(t, Reference(), "`DRAKKAR_SINKS__KAFKA__<NAME>__BATCH_SIZE`")
}
