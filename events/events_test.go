package events

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// notEvents are the types of this package that are parts of events.
var notEvents = map[string]bool{"At": true, "Sink": true, "PartitionDepth": true}

// declared are the structs of events.go, with whether a comment says what they
// are, and the names that names.go gives them.
func declared(t *testing.T) (structs map[string]bool, names map[string]string) {
	t.Helper()
	structs, names = map[string]bool{}, map[string]string{}
	for _, path := range []string{"events.go", "names.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						if _, ok := ts.Type.(*ast.StructType); ok {
							structs[ts.Name.Name] = decl.Doc.Text() != ""
						}
					}
				}
			case *ast.FuncDecl:
				if decl.Name.Name != "EventName" {
					continue
				}
				receiver, _ := decl.Recv.List[0].Type.(*ast.Ident)
				result, _ := decl.Body.List[0].(*ast.ReturnStmt)
				literal, _ := result.Results[0].(*ast.BasicLit)
				names[receiver.Name] = strings.Trim(literal.Value, `"`)
			}
		}
	}
	return structs, names
}

// Operators search logs for these names: each struct has one of its own, and it
// is the type's, so that whoever has one finds the other.
func TestNames(t *testing.T) {
	t.Parallel()

	structs, names := declared(t)
	require.Greater(t, len(names), 30, "the test looks in the wrong place")
	// The flight recorder of the Python product calls it so.
	renamed := map[string]string{"Annotated": "annotation"}
	taken := map[string]string{}
	word := regexp.MustCompile(`([a-z])([A-Z])`)
	for name, documented := range structs {
		require.True(t, documented, "%s has no comment", name)
		if notEvents[name] {
			require.NotContains(t, names, name)
			continue
		}
		eventName, ok := names[name]
		require.True(t, ok, "%s has no EventName", name)
		want := strings.ToLower(word.ReplaceAllString(strings.ReplaceAll(name, "DLQ", "Dlq"), "${1}_${2}"))
		if other, ok := renamed[name]; ok {
			want = other
		}
		require.Equal(t, want, eventName)
		require.Empty(t, taken[eventName], "%s and %s have one name", name, taken[eventName])
		taken[eventName] = name
	}
}

// An event is handed on as it is, to all recorders, in their order.
func TestTee(t *testing.T) {
	t.Parallel()

	var got []string
	note := func(who string) Recorder {
		return RecorderFunc(func(e Event) { got = append(got, who+" "+e.EventName()) })
	}
	rec := Tee(note("first"), Discard, note("second"), Tee(), Tee(note("third")))
	rec.Record(Consumed{})
	rec.Record(PoolState{Slots: 1})
	require.Equal(t, []string{
		"first consumed", "second consumed", "third consumed", "first pool_state", "second pool_state", "third pool_state",
	}, got)
}

// Recorders tell events by their types, which a pointer would hide from them.
func TestEventsAreValues(t *testing.T) {
	t.Parallel()

	for _, e := range []Event{Consumed{}, HookRan{}, TaskFailed{}, DeadLettered{}} {
		require.Equal(t, reflect.Struct, reflect.TypeOf(e).Kind())
		_, ok := reflect.PointerTo(reflect.TypeOf(e)).MethodByName("EventName")
		require.True(t, ok)
	}
	var kept Event
	RecorderFunc(func(e Event) { kept = e }).Record(Committed{At: At{Topic: "in", Partition: 3, Offset: 7}})
	require.Equal(t, int64(7), kept.(Committed).Offset)
}
