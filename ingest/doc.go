// Package ingest reads a Kafka topic and turns it into windows: one Temporal
// workflow for each run of consecutive messages of a partition. It follows the
// workflows and commits an offset once nothing of what lies below it is left to
// do. It knows no handler and no sink.
//
// # The life of a partition
//
//	assigned   not fetched yet; its committed offset and metadata are read
//	   │       ├── metadata of an unknown version ──► refused (says so, waits)
//	   │       └── not ours, not trusted, none ─────► new epoch is committed,
//	   ▼                                              then read again
//	walking    the chain is walked by Describe from the window that holds the
//	   │       committed offset; every window found is adopted
//	   ▼
//	running    the client is given it, at the end of the chain.
//	   │         poll ──► queue ──► cut ──► start ──► follow ──► finish
//	   │                   ▲         │        │ started by another owner:
//	   │       pause/resume│         │        └─ adopt its range, go on behind it
//	   │                   └─ at its limits a partition stops cutting
//	   │         finish, progress ──► tracker ──► committer, on a timer
//	   ▼
//	revoked    final commit of at most 2 s, then everything is forgotten; open
//	           windows run on in Temporal, the next owner adopts them
//	lost       as revoked, without the commit
//
// A window is started only once the start, or the adoption, of its predecessor
// was acknowledged. The workflow id names the place in the chain and Temporal
// rejects duplicates, so of two owners who believe to own a partition the first
// to start a link wins and the other follows it: the chain cannot fork.
//
// # Windows that are gone
//
// A window can be deleted in Temporal, fall out of its retention, or be lost
// with it. Whoever follows it reads its range from the topic again, with a
// consumer that is in no group, and starts what is not known to be done as the
// same link with the same range: of two owners who do so the first wins and
// the other follows it. Links that are gone are started in their order. Nobody
// can see a gap by walking, because the chain seems to end there; so every
// commit tells how long the windows are that begin at its own, and a commit is
// due when the chain grew, even if nothing was finished. It also tells which of
// them are finished: Temporal forgets those behind a window that stays open for
// longer than its retention, and they do not run again. A window that is gone
// and was not told yet, because it was started less than ingest.commit_interval
// before its owner ended, is the end of the chain for the next owner: it starts
// the link with a range of its own, and messages of windows behind the gap run
// in two windows. What is committed is finished in any case: a window's result
// names its range, and an owner who finds another range than it knows walks the
// chain anew.
//
// A window that has no rerun left, or is too old when windows.on_max_age says
// so, is started anew under its id with nothing but the messages that its memo
// does not call finished, to write them to the dead letter queue. Temporal
// allows that for closed workflows without a result only.
//
// # Who runs
//
// One goroutine polls. It alone assigns, pauses and resumes: others post
// to it what they want done, and it checks that the partition is still the one
// they mean. A partition is an object that lives as long as its ownership; a
// partition that is revoked and assigned again is another object, so a late
// goroutine of the former one holds a cancelled context and moves nothing.
// Each partition has one goroutine that prepares it and then cuts and starts
// windows, and one for each open window, which follows it. One goroutine
// commits.
//
// # Lock order
//
//	committer.turn  →  Ingest.mu  →  partition.mu
//
// turn is a channel of one: whoever commits holds it, and revocation waits for
// it no longer than its bound, because the client's commit has no timeout. No
// lock is held while a request to Kafka or Temporal is under way, except turn;
// kafkaBroker.asking, for which only those wait who ask the same; and
// Ingest.clients, which Ready shares so that the clients are not closed under
// it.
package ingest
