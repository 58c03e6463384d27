package drakkar

import (
	"fmt"
	"reflect"
	"slices"
)

// misfits names the methods of a handler that look like hooks and are none.
// Execute is left out: the word is common, and a pipeline that relies on it
// fails loudly without it, for want of a program.
func misfits[In any](h any) []error {
	hooks := []reflect.Type{
		reflect.TypeFor[TaskCompleter](), reflect.TypeFor[MessageCompleter[In]](),
		reflect.TypeFor[WindowCompleter[In]](), reflect.TypeFor[ErrorHandler](),
		reflect.TypeFor[DeliveryErrorHandler](), reflect.TypeFor[Deserializer[In]](),
		reflect.TypeFor[Labeler[In]](), reflect.TypeFor[Prioritizer](),
		reflect.TypeFor[AssignHandler](), reflect.TypeFor[RevokeHandler](), reflect.TypeFor[PeriodicRunner](),
	}
	t := reflect.TypeOf(h)
	if t == nil {
		return []error{fmt.Errorf("the handler is nil")}
	}
	hooks = slices.DeleteFunc(hooks, t.Implements)
	var errs []error
	for _, hook := range hooks {
		want := hook.Method(0)
		if m, ok := t.MethodByName(want.Name); ok {
			errs = append(errs, fmt.Errorf("%s.%s would never be called: it is %s, and a hook of this handler is %s",
				t, want.Name, withoutReceiver(m.Type), want.Type))
		} else if _, ok := reflect.PointerTo(t).MethodByName(want.Name); ok {
			errs = append(errs, fmt.Errorf("%s.%s would never be called: it has a pointer receiver, so pass a pointer to the handler",
				t, want.Name))
		}
	}
	return errs
}

// withoutReceiver is the type of a method as an interface shows it.
func withoutReceiver(method reflect.Type) reflect.Type {
	in, out := slices.Collect(method.Ins()), slices.Collect(method.Outs())
	return reflect.FuncOf(in[1:], out, method.IsVariadic())
}
