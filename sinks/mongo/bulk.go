package mongo

import "slices"

// A bulk is one command of one message: the driver makes several of what is too
// much for the server, and then forgets of which one the write concern was not
// met. Servers take messages of 48 MB.
const (
	maxBulkBytes = 32 << 20
	maxBulkDocs  = 50_000

	// frameBytes is more than the frame of a document in a command.
	frameBytes = 100
)

// bulk are documents of one collection that are written at once.
type bulk struct {
	collection string
	docs       []document
	// replaces says that the documents take the place of those with their key.
	// Inserts are another command, and stand in another bulk: what is inserted
	// must not be so again since what replaces was refused.
	replaces bool
	// turn is at least how often the keys of its documents came before, in the
	// same batch.
	turn  int
	bytes int
	// again is set when somebody else made the documents while they were to be
	// made: now they are to be replaced. A key that is still taken then is not
	// the _id.
	again bool
}

// with are other documents, written like those of the bulk.
func (b *bulk) with(docs []document) *bulk {
	return &bulk{collection: b.collection, docs: docs, replaces: b.replaces, again: b.again}
}

// bulks puts documents into as few bulks as possible, in the order in which they
// have to be written. A bulk has no order in it: documents with the same key
// stand in different ones, in theirs, and what comes behind them stands behind
// them too: 1 and 1.0 are one key.
func (s *Sink) bulks(docs []document) []*bulk {
	type place struct {
		collection string
		replaces   bool
		turn       int
	}
	var all []*bulk
	open := map[place]*bulk{}
	turns := map[string]int{}  // the next one, by place
	latest := map[string]int{} // turn, by collection
	for _, d := range docs {
		turn := 0
		if d.hasKey() {
			turn = max(turns[d.place()], latest[d.collection])
			turns[d.place()], latest[d.collection] = turn+1, turn
		}
		at := place{d.collection, s.conflict == conflictUpdate && d.hasKey(), turn}
		size := len(d.raw) + len(d.key.Value) + frameBytes
		b := open[at]
		if b == nil || b.bytes+size > maxBulkBytes || len(b.docs) == maxBulkDocs {
			b = &bulk{collection: at.collection, replaces: at.replaces, turn: turn}
			open[at] = b
			all = append(all, b)
		}
		b.docs = append(b.docs, d)
		b.bytes += size
	}
	slices.SortStableFunc(all, func(a, b *bulk) int { return a.turn - b.turn })
	return all
}
