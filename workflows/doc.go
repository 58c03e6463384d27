// Package workflows holds the Window workflow: the course of one window from
// its messages to its last delivery. It is deterministic and does no I/O;
// everything else happens in activities, whose inputs and results are the types
// of this package.
//
// # The states of a window
//
//	        messages
//	           │ Arrange ── fails hooks.max_attempts times ──► split in halves
//	           ▼                                               │ one message left
//	  batches of tasks ◄────────────── retries, replacements   ▼
//	           │ Execute (16 at a time)      ▲               letter
//	           ├─────────────────────────────┘                 │
//	           ▼                                               │
//	tasks settled, outputs ──► Collect: message hooks          │
//	           │                  of messages that settled     │
//	           ▼                                               ▼
//	       Deliver ── a sink fails ──► timer ──► Deliver, that sink alone
//	           │                                   │ given up
//	           ▼                                   ▼
//	    messages done ◄──────────────── dead letter queue, for as long as it takes
//	           │ all settled: Collect: window hook ──► Deliver
//	           ▼
//	        result
//
// Every batch flows on its own. A message is done when its tasks are settled,
// its hook has run, and everything that came of it is delivered, dead-lettered
// or skipped by the handler; the workflow ends when all of its messages are.
//
// # What is kept where
//
// History holds counts, references and what is small. Lists of tasks, results
// and outputs travel as blobs.List: inline while the window's history has room
// for them, in the blob store otherwise. The workflow never looks into them.
//
// # Rules for changing this package
//
// A window that is open during an upgrade is replayed by the new code. Whatever
// changes the order or the number of commands needs workflow.GetVersion; the
// histories in testdata are replayed by the tests.
package workflows
