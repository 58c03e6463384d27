// Package drakkartest tests handlers without Kafka, Temporal or sinks, and
// replays histories of workflows.
//
// [Run] takes a window of messages through a handler: it is arranged, its tasks
// run as real programs or as a fake, failures are decided upon, and every hook
// is called in the order of production. What came of it is in the [Report]:
//
//	func TestHandler(t *testing.T) {
//		t.Parallel()
//
//		rep := drakkartest.Run(t, &Handler{},
//			drakkartest.Message(Request{Pattern: "TODO"}),
//			drakkartest.Message(Request{Pattern: "FIXME"}, drakkartest.Key("k")),
//			drakkartest.Runner(func(task drakkar.Task) (drakkar.Result, error) {
//				return drakkar.Result{Stdout: drakkar.Bytes("main.go:1: TODO\n")}, nil
//			}),
//		)
//		rep.RequireNoErrors(t)
//		require.Len(t, rep.Outputs.Kafka, 2)
//	}
//
// Tasks and results travel as JSON on their way from hook to hook, as they do
// in production, so a number in Task.Metadata arrives as float64 here too.
// Nothing waits: pauses between attempts are reported, not slept.
//
// [Replay] guards the other end: it replays histories of windows, downloaded
// from Temporal, against the workflows of this version, and those of the
// author's own:
//
//	func TestHistories(t *testing.T) {
//		t.Parallel()
//
//		drakkartest.Replay(t, "testdata/*.json")
//	}
package drakkartest
