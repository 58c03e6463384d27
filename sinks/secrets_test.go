package sinks_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/sinks"
)

func TestSecrets(t *testing.T) {
	t.Parallel()

	var s sinks.Secrets
	require.Equal(t, "nothing", s.Mask("nothing"))
	require.Zero(t, s.Longest())

	s.Add("fish", "swordfish", "abc", "")
	s.Add("swordfish")
	require.Equal(t, 9, s.Longest())
	require.Equal(t, "*** *** abc", s.Mask("swordfish fish abc"))

	require.Equal(t, "*** ***", s.With("abcd").Mask("abcd fish"))
	require.Equal(t, "abcd", s.Mask("abcd"), "the copy is a copy")

	plain := fmt.Errorf("reading: %w", io.EOF)
	require.ErrorIs(t, s.Redact(plain), io.EOF)
	require.EqualError(t, s.Redact(errors.New("AUTH swordfish")), "AUTH ***")
}
