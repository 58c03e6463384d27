package exechandler

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"
)

// truthFunc stands behind whatever if, with, and, or and not decide about; the
// compiler puts it there.
const truthFunc = "_truth"

// truth lets text/template see that a number is 0: to it a json.Number is text,
// which is true unless it is empty.
func truth(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	digits, _, _ := strings.Cut(strings.ToLower(n.String()), "e")
	if strings.Trim(digits, "-0.") == "" {
		return 0
	}
	return v
}

// The comparisons of text/template take a json.Number for text: 9 would be more
// than 10.

func equal(a any, bs ...any) (bool, error) {
	if len(bs) == 0 {
		return false, errors.New("eq takes at least two values")
	}
	for _, b := range bs {
		if same, err := equals(a, b); err != nil || same {
			return same, err
		}
	}
	return false, nil
}

func unequal(a, b any) (bool, error) {
	same, err := equals(a, b)
	return !same, err
}

func equals(a, b any) (bool, error) {
	if a == nil || b == nil {
		return a == nil && b == nil, nil
	}
	if x, y, ok := numbers(a, b); ok {
		return x.Cmp(y) == 0, nil
	}
	if x, y, ok := bothTexts(a, b); ok {
		return x == y, nil
	}
	if ta, tb := reflect.TypeOf(a), reflect.TypeOf(b); ta != tb || !ta.Comparable() {
		return false, fmt.Errorf("%s and %s cannot be compared", called(a), called(b))
	}
	return a == b, nil
}

// ordered is the comparison that holds reports.
func ordered(holds func(int) bool) func(a, b any) (bool, error) {
	return func(a, b any) (bool, error) {
		if x, y, ok := numbers(a, b); ok {
			return holds(x.Cmp(y)), nil
		}
		x, isText := a.(string)
		y, areTexts := b.(string)
		if !isText || !areTexts {
			return false, fmt.Errorf("%s and %s have no order: number makes a number of text", called(a), called(b))
		}
		return holds(cmp.Compare(x, y)), nil
	}
}

// bothTexts are both values, when they are text. A number of JSON is text too, as it
// is written, beside text.
func bothTexts(a, b any) (x, y string, ok bool) {
	x, ok = asText(a)
	if !ok {
		return "", "", false
	}
	y, ok = asText(b)
	return x, y, ok
}

func asText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// called is what people call the value's kind.
func called(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "text"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	if _, ok := decimal(v); ok {
		return "a number"
	}
	return fmt.Sprintf("a %T", v)
}

// numbers are both values, when they are numbers.
func numbers(a, b any) (x, y *big.Float, ok bool) {
	s, isNumber := decimal(a)
	t, areNumbers := decimal(b)
	if !isNumber || !areNumbers {
		return nil, nil, false
	}
	return float(s), float(t), true
}

// decimal is a number as it is written. A float64 is written as short as it can
// be, so that 1.1 of a template is 1.1 of a message.
func decimal(v any) (string, bool) {
	if n, ok := v.(json.Number); ok {
		return n.String(), true
	}
	switch r := reflect.ValueOf(v); {
	case !r.IsValid():
		return "", false
	case r.CanInt():
		return strconv.FormatInt(r.Int(), 10), true
	case r.CanUint():
		return strconv.FormatUint(r.Uint(), 10), true
	case r.CanFloat():
		return strconv.FormatFloat(r.Float(), 'g', -1, 64), true
	}
	return "", false
}

const (
	// precision of a comparison in bits: integers of up to 150 digits are told
	// apart.
	precision = 512

	// maxExact bounds the text that is read that precisely: reading takes the
	// square of its length.
	maxExact = 1000
)

func float(s string) *big.Float {
	if len(s) <= maxExact {
		if f, _, err := big.ParseFloat(s, 10, precision, big.ToNearestEven); err == nil {
			return f
		}
	}
	f, _ := strconv.ParseFloat(s, 64) // out of range it is infinite
	return new(big.Float).SetFloat64(f)
}
