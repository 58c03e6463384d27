// Package model explores what can happen to one partition: two processes that
// own it in turn, or believe to, and cut windows as they like; Kafka's group and
// log; Temporal; an operator. It goes through every order in which things can
// happen, within bounds, and says where a promise is broken:
//
//   - lost: an offset is committed although a message below it is not finished;
//   - fork: two windows of one epoch share offsets;
//   - twice: a message was finished again without an operator's reset.
//
// # What runs
//
// Kafka and Temporal are modelled here, owners are not: a [Machine] is the code
// of one ownership, in package ingest's tests that of the package. It gets what
// happens to it as events, and what it asks is answered by the model. Since it
// does nothing by itself, a machine runs once for each history of events that
// makes a difference, and millions of states share what it did.
//
// # One step
//
// A step is one request with its effect, or one thing that happens by itself.
// Everybody else can come between any two of them:
//
//	owner      read the committed offset, the log's ends, a window; commit; poll;
//	           start a window of any size; learn a result or progress; reset a
//	           terminated window; start a deleted one again
//	group      assign; revoke with a final commit; time out, so that the owner
//	           goes on beside the next; an owner dies
//	underway   a start or a commit whose owner is gone, or got no answer, arrives
//	           at any later time
//	Temporal   a window finishes any of its messages; is terminated; is deleted
//	Kafka      compaction removes a record; retention removes the first one
//	operator   resets the offset, with or without leaving the metadata
//
// # What is left out
//
// Steps are joined where nobody can tell the difference: an answer is taken
// with its request, since until then an owner does nothing that it would not do
// with it, and progress is published when it is made. Once the log is at rest
// its ends and records are read at once, without a step. The two processes are
// alike, so a state and its mirror image are one.
//
// Some pairs of accidents are beyond what the protocol can promise:
//
//   - behind a deleted window whose range was not committed yet, windows may
//     overlap and messages run once more; behind one that everybody knew to be
//     finished they may not;
//   - the first window of an epoch tells that its id was used, so an offset is
//     not reset to where a window was deleted, and windows of before a reset
//     are not deleted;
//   - a former owner's commit that begins an epoch is not accepted late once
//     the log's beginning has moved, and once it was, the beginning does not move:
//     the next owner, which has not heard of it, would begin an epoch behind it.
package model
