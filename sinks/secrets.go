package sinks

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// secretBytes is how long a text must be to be masked. Masking shorter ones
// would garble what is said.
const secretBytes = 4

// Secrets keeps what a sink's settings hold out of its errors: servers and
// drivers like to repeat what they were told. The zero value masks nothing.
type Secrets struct{ texts []string }

// Add makes texts secret. Those of less than four bytes are passed over.
func (s *Secrets) Add(texts ...string) {
	for _, text := range texts {
		if len(text) >= secretBytes && !slices.Contains(s.texts, text) {
			s.texts = append(s.texts, text)
		}
	}
	// The whole of a secret is masked before a part of it.
	slices.SortFunc(s.texts, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// With is a copy with further texts.
func (s *Secrets) With(texts ...string) *Secrets {
	c := &Secrets{texts: slices.Clone(s.texts)}
	c.Add(texts...)
	return c
}

// Longest is the length of the longest secret.
func (s *Secrets) Longest() int {
	if len(s.texts) == 0 {
		return 0
	}
	return len(s.texts[0])
}

// Mask takes the secrets out of a text.
func (s *Secrets) Mask(text string) string {
	for _, secret := range s.texts {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// Redact is Mask for errors. One that shows a secret loses its chain, the
// others stay as they are.
func (s *Secrets) Redact(err error) error {
	if text := s.Mask(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
