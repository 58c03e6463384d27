package sinks

import (
	"fmt"
	"slices"
	"strings"
)

// RouteReason says why a payload has nowhere to go.
type RouteReason uint8

const (
	// NotConfigured says that no instance of the type is configured.
	NotConfigured RouteReason = iota
	// Ambiguous says that several are, and the payload names none.
	Ambiguous
	// UnknownName says that the payload names one that is not there.
	UnknownName
)

// RouteError says that a payload names no configured instance. It is an error
// of the hook that returned the payload.
type RouteError struct {
	Reason RouteReason
	Type   Type
	// Name is what the payload says; empty when it names none.
	Name string
	// Choices are the configured names of the type, sorted.
	Choices []string
}

// Error implements error.
func (e *RouteError) Error() string {
	section := "sinks." + string(e.Type)
	switch e.Reason {
	case Ambiguous:
		return fmt.Sprintf("a %s payload names no sink and %s has several: set Sink to one of %s",
			e.Type, section, strings.Join(e.Choices, ", "))
	case UnknownName:
		return fmt.Sprintf("%s.%s is not configured: did you mean %q? (there are %s)",
			section, e.Name, e.Nearest(), strings.Join(e.Choices, ", "))
	default:
		return fmt.Sprintf("a %s payload has no sink to go to: configure one in %s", e.Type, section)
	}
}

// Nearest is the choice that Name was most likely meant to be; empty when there
// are none.
func (e *RouteError) Nearest() string {
	nearest, best := "", 0
	for _, c := range e.Choices {
		if d := distance(e.Name, c); nearest == "" || d < best {
			nearest, best = c, d
		}
	}
	return nearest
}

// Route finds the instance that a payload of the type goes to. The error is a
// *RouteError.
func (s *Set) Route(t Type, name string) (Ref, error) {
	names := s.names[t]
	switch {
	case len(names) == 0:
		return Ref{}, &RouteError{Reason: NotConfigured, Type: t, Name: name}
	case name == "" && len(names) == 1:
		return Ref{Type: t, Name: names[0]}, nil
	case name == "":
		return Ref{}, &RouteError{Reason: Ambiguous, Type: t, Choices: slices.Clone(names)}
	case !slices.Contains(names, name):
		return Ref{}, &RouteError{Reason: UnknownName, Type: t, Name: name, Choices: slices.Clone(names)}
	}
	return Ref{Type: t, Name: name}, nil
}

// distance counts the single-letter edits between two names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
