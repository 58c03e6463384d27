package workflows

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Range is an inclusive range of offsets. It travels as [first, last].
type Range struct{ First, Last int64 }

// MarshalJSON implements json.Marshaler.
func (r Range) MarshalJSON() ([]byte, error) { return json.Marshal([2]int64{r.First, r.Last}) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *Range) UnmarshalJSON(data []byte) error {
	var pair [2]int64
	if err := json.Unmarshal(data, &pair); err != nil {
		return fmt.Errorf("decoding range: %w", err)
	}
	r.First, r.Last = pair[0], pair[1]
	return nil
}

// Ranges are the fewest ranges that hold exactly the given numbers.
func Ranges(numbers []int64) []Range {
	var out []Range
	for _, o := range slices.Sorted(slices.Values(numbers)) {
		switch n := len(out); {
		case n > 0 && out[n-1].Last == o:
		case n > 0 && out[n-1].Last == o-1:
			out[n-1].Last = o
		default:
			out = append(out, Range{First: o, Last: o})
		}
	}
	return out
}

// joined are the fewest ranges that hold what either of two lists holds.
func joined(a, b []Range) []Range {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y Range) int { return cmp.Compare(x.First, y.First) })
	var out []Range
	for _, r := range all {
		if n := len(out); n > 0 && r.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Count says that N tasks concern each of the messages from First to Last. A
// task that serves several messages counts for each. It travels as
// [offset, n], or as [first, last, n].
type Count struct {
	First, Last int64
	N           int
}

// MarshalJSON implements json.Marshaler.
func (c Count) MarshalJSON() ([]byte, error) {
	if c.First == c.Last {
		return json.Marshal([]int64{c.First, int64(c.N)})
	}
	return json.Marshal([]int64{c.First, c.Last, int64(c.N)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Count) UnmarshalJSON(data []byte) error {
	var v []int64
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("decoding count: %w", err)
	}
	switch len(v) {
	case 2:
		*c = Count{First: v[0], Last: v[0], N: int(v[1])}
	case 3:
		*c = Count{First: v[0], Last: v[1], N: int(v[2])}
	default:
		return errors.New("decoding count: it has two or three numbers")
	}
	return nil
}

// Counts are in the order of their offsets and do not overlap. Neighbours with
// the same number are one, so that a window of tasks which each serve all of
// its messages takes no more than one of tasks with a message each.
type Counts []Count

// CountsOf are the counts of single messages.
func CountsOf(n map[int64]int) Counts {
	var out Counts
	for _, o := range slices.Sorted(maps.Keys(n)) {
		if last := len(out) - 1; last >= 0 && out[last].Last == o-1 && out[last].N == n[o] {
			out[last].Last = o
			continue
		}
		out = append(out, Count{First: o, Last: o, N: n[o]})
	}
	return out
}

// EncodedLen is about how many bytes the counts take in history.
func (c Counts) EncodedLen() int {
	n := 2
	for _, one := range c {
		n += len("[,],") + digits(one.First) + digits(int64(one.N))
		if one.First != one.Last {
			n += 1 + digits(one.Last)
		}
	}
	return n
}

func digits(n int64) int { return len(strconv.FormatInt(n, 10)) }
