package mongo_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/drakkar-go/drakkar/sinks"
)

func ok(more ...bson.E) bson.D {
	return append(bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 3}}, more...)
}

// refusing is an answer that names a document of a write.
func refusing(index, code int, message string) bson.E {
	return bson.E{Key: "writeErrors", Value: bson.A{bson.D{
		{Key: "index", Value: index}, {Key: "code", Value: code}, {Key: "errmsg", Value: message},
	}}}
}

var unconfirmed = bson.E{Key: "writeConcernError", Value: bson.D{
	{Key: "code", Value: 64}, {Key: "errmsg", Value: "waiting for replication timed out"},
}}

var three = []sinks.Payload{to("c", `{"_id":0}`), to("c", `{"_id":1}`), to("c", `{"_id":2}`)}

// Each write asks for the write concern of the settings, and takes the journal
// from the address.
func TestWriteConcern_IsAskedFor(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct{ setting, options, want string }{
		{"majority", "", `{"w": "majority"}`},
		{"2", "", `{"w": {"$numberInt":"2"}}`},
		{"both_sites", "?journal=true&w=1", `{"w": "both_sites","j": true}`},
	} {
		t.Run(tt.setting, func(t *testing.T) {
			t.Parallel()

			f := newFake(t, func(string, []bson.Raw) bson.D { return ok() })
			cfg := settings(f.uri(tt.options), "d")
			cfg.WriteConcern = tt.setting
			require.Empty(t, deliver(t, newSink(t, cfg), three...))
			in := f.last(t, "insert")
			require.Equal(t, tt.want, in.Lookup("writeConcern").String())
			require.False(t, in.Lookup("ordered").Boolean())
		})
	}
}

// What is written and not confirmed is not delivered.
func TestWriteConcern_IsNotMet(t *testing.T) {
	t.Parallel()

	f := newFake(t, func(string, []bson.Raw) bson.D { return ok(unconfirmed, refusing(1, 121, "validation")) })
	failures := deliver(t, newSink(t, settings(f.uri(""), "d")), three...)
	require.Len(t, failures, 3)
	for i, f := range failures {
		require.Equal(t, i, f.Index)
		require.Equal(t, i == 1, f.Class == sinks.Permanent, "%v", f.Err)
	}
	require.ErrorContains(t, failures[0].Err, "waiting for replication timed out")
}

// holding answers a find with documents that have these keys.
func holding(keys ...any) bson.D {
	batch := bson.A{}
	for _, key := range keys {
		batch = append(batch, bson.D{{Key: "_id", Value: key}})
	}
	return ok(bson.E{Key: "cursor", Value: bson.D{
		{Key: "id", Value: int64(0)}, {Key: "ns", Value: "d.c"}, {Key: "firstBatch", Value: batch},
	}})
}

// With on_conflict: nothing a document whose _id is there is delivered, and one
// that another unique index refuses is not. An _id of another type may be the
// same for the server, which is asked then.
func TestConflict_OtherUniqueIndex(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		finds  []bson.D
		failed string
		class  sinks.Class
	}{
		"There":       {finds: []bson.D{holding(int32(1))}},
		"OtherType":   {finds: []bson.D{holding(1.0), holding(1.0)}},
		"NotThere":    {[]bson.D{holding(), holding()}, "not its _id", sinks.Permanent},
		"CannotLook":  {[]bson.D{{{Key: "ok", Value: 0}, {Key: "code", Value: 13}}}, "looking for documents", sinks.Transient},
		"CannotAskOn": {[]bson.D{holding(), {{Key: "ok", Value: 0}, {Key: "code", Value: 13}}}, "looking for a document", sinks.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var finds atomic.Int32
			f := newFake(t, func(command string, _ []bson.Raw) bson.D {
				if command == "insert" {
					return ok(refusing(1, 11000, "E11000 duplicate key error"))
				}
				return tt.finds[finds.Add(1)-1]
			})
			cfg := settings(f.uri("?retryReads=false"), "d")
			cfg.OnConflict = "nothing"
			failures := deliver(t, newSink(t, cfg), three...)
			require.EqualValues(t, len(tt.finds), finds.Load())
			if tt.failed == "" {
				require.Empty(t, failures)
				return
			}
			require.Len(t, failures, 1)
			require.Equal(t, 1, failures[0].Index)
			require.Equal(t, tt.class, failures[0].Class)
			require.ErrorContains(t, failures[0].Err, tt.failed)
		})
	}
}

// A document that is tried again is not written over what came after it: that
// is tried again behind it. Documents with other keys do not wait, nor do those
// behind one that is refused for good.
func TestDeliver_OrderAfterTransientFailure(t *testing.T) {
	t.Parallel()

	for code, want := range map[int][]int{10107: {0, 2}, 121: {0}} {
		var updates atomic.Int32
		f := newFake(t, func(string, []bson.Raw) bson.D {
			if updates.Add(1) == 1 {
				return ok(refusing(0, code, "no"))
			}
			return ok()
		})
		cfg := settings(f.uri("?retryWrites=false"), "d")
		cfg.OnConflict = "update"
		var failed []int
		for _, f := range deliver(t, newSink(t, cfg), to("c", `{"_id":1,"n":1}`), to("c", `{"_id":2}`), to("c", `{"_id":1,"n":2}`), to("c", `{"_id":2,"n":2}`)) {
			failed = append(failed, f.Index)
		}
		require.Equal(t, want, failed, "%d", code)
		require.EqualValues(t, 2, updates.Load())
	}
}

// A key that is there, but perhaps not everywhere yet, is not delivered.
func TestConflict_NotConfirmed(t *testing.T) {
	t.Parallel()

	f := newFake(t, func(command string, _ []bson.Raw) bson.D {
		if command == "insert" {
			return ok(unconfirmed, refusing(1, 11000, "E11000 duplicate key error"))
		}
		return holding(int32(1))
	})
	cfg := settings(f.uri(""), "d")
	cfg.OnConflict = "nothing"
	failures := deliver(t, newSink(t, cfg), three...)
	require.Len(t, failures, 3)
	for _, f := range failures {
		require.Equal(t, sinks.Transient, f.Class, "%v", f.Err)
	}
}

// A server that refuses the whole bulk because of one document is asked for its
// halves; what it may get over is tried again.
func TestDeliver_WholeBulkIsRefused(t *testing.T) {
	t.Parallel()

	for code, want := range map[int]sinks.Class{
		73: sinks.Permanent, 166: sinks.Permanent,
		2: sinks.Transient, 9: sinks.Transient, 79: sinks.Transient, 6: sinks.Transient, 13: sinks.Transient, 18: sinks.Transient, 50: sinks.Transient, 112: sinks.Transient,
		10107: sinks.Transient, 99999: sinks.Transient,
	} {
		f := newFake(t, func(string, []bson.Raw) bson.D {
			return bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: code}, {Key: "errmsg", Value: "no"}}
		})
		failures := deliver(t, newSink(t, settings(f.uri("?retryWrites=false"), "d")), three...)
		require.Len(t, failures, 3, "%d", code)
		for i, f := range failures {
			require.Equal(t, i, f.Index)
			require.Equal(t, want, f.Class, "%d: %v", code, f.Err)
		}
	}
}

// Bulks that the driver cuts into several messages keep account of who is who.
func TestDeliver_SplitsWhatIsLarge(t *testing.T) {
	t.Parallel()

	var messages atomic.Int32
	f := newFake(t, func(_ string, docs []bson.Raw) bson.D {
		messages.Add(1)
		at := slices.IndexFunc(docs, func(doc bson.Raw) bool { return doc.Lookup("_id").Int32() == 5 })
		if at < 0 {
			return ok()
		}
		return ok(refusing(at, 121, "validation"))
	})
	f.maxMessage = 1_000_000
	var batch []sinks.Payload
	for i := range 8 {
		batch = append(batch, to("large", fmt.Sprintf(`{"_id":%d,"text":%q}`, i, strings.Repeat("drakkar ", 50_000)))) // 400 KB
	}
	failures := deliver(t, newSink(t, settings(f.uri(""), "d")), batch...)
	require.Len(t, failures, 1)
	require.Equal(t, 5, failures[0].Index, "%v", failures[0].Err)
	require.Greater(t, messages.Load(), int32(1))
}

// No bulk is so large that the driver cuts it: of the write concern it would
// tell what the last of its messages was answered.
func TestWriteConcern_IsNotMetOfWhatIsLarge(t *testing.T) {
	t.Parallel()

	var messages atomic.Int32
	f := newFake(t, func(string, []bson.Raw) bson.D {
		if messages.Add(1) == 1 {
			return ok(unconfirmed)
		}
		return ok(refusing(0, 121, "validation"))
	})
	var batch []sinks.Payload
	for i := range 4 {
		batch = append(batch, to("large", fmt.Sprintf(`{"_id":%d,"text":%q}`, i, strings.Repeat("drakkar ", 1_530_000)))) // 12 MB
	}
	var failed []int
	for _, f := range deliver(t, newSink(t, settings(f.uri(""), "d")), batch...) {
		failed = append(failed, f.Index)
	}
	require.Equal(t, []int{0, 1, 2}, failed)
	require.EqualValues(t, 2, messages.Load())
}

// What is inserted is not inserted once more because what is replaced is refused
// as a whole.
func TestDeliver_InsertsBesideReplacements(t *testing.T) {
	t.Parallel()

	var inserted atomic.Int32
	f := newFake(t, func(command string, docs []bson.Raw) bson.D {
		if command == "insert" {
			inserted.Add(int32(len(docs)))
			return ok()
		}
		return bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: 166}, {Key: "errmsg", Value: "no"}}
	})
	cfg := settings(f.uri("?retryWrites=false"), "d")
	cfg.OnConflict = "update"
	failures := deliver(t, newSink(t, cfg), to("c", `{"n":0}`), to("c", `{"_id":1}`), to("c", `{"n":2}`), to("c", `{"_id":3}`))
	require.Len(t, failures, 2)
	require.Equal(t, 1, failures[0].Index)
	require.Equal(t, 3, failures[1].Index)
	require.EqualValues(t, 2, inserted.Load())
}

// BSON says the place of each element of an array, and is larger than its JSON.
func TestValidate_TooLarge(t *testing.T) {
	t.Parallel()

	s := newSink(t, settings("mongodb://127.0.0.1:1/", "d"))
	list := func(n int) sinks.Payload { return to("c", `{"list":[`+strings.Repeat("1,", n-1)+`1]}`) }
	require.NoError(t, s.Validate(list(1_000)))
	require.ErrorContains(t, s.Validate(list(1_400_000)), "more than MongoDB takes")
}

// Operators are no documents: a driver would refuse the whole bulk for them.
func TestValidate_Replacement(t *testing.T) {
	t.Parallel()

	cfg := settings("mongodb://127.0.0.1:1/", "d")
	cfg.OnConflict = "update"
	s := newSink(t, cfg)
	require.ErrorContains(t, s.Validate(to("c", `{"_id":1,"$set":{"a":1}}`)), `"$set" begins with $`)
	require.NoError(t, s.Validate(to("c", `{"_id":1,"a":{"$b":1}}`)))
}

// Two that make the same document at once: the one that comes second replaces
// it. What is refused again has another unique key that is taken.
func TestConflict_UpdateRace(t *testing.T) {
	t.Parallel()

	for refusals, failed := range map[int32]int{1: 0, 2: 1} {
		var updates atomic.Int32
		f := newFake(t, func(string, []bson.Raw) bson.D {
			if updates.Add(1) > refusals {
				return ok()
			}
			return ok(refusing(0, 11000, "E11000 duplicate key error"))
		})
		cfg := settings(f.uri(""), "d")
		cfg.OnConflict = "update"
		failures := deliver(t, newSink(t, cfg), three...)
		require.Len(t, failures, failed)
		for _, f := range failures {
			require.Equal(t, sinks.Permanent, f.Class)
		}
		require.EqualValues(t, 2, updates.Load())
	}
}
