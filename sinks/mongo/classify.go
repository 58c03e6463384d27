package mongo

import (
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/drakkar-go/drakkar/sinks"
)

// duplicateKeys are what servers of several ages call a key that is taken.
var duplicateKeys = []int{11000, 11001, 12582}

// documentCodes are the server's codes for what a document, or the collection
// that it names, is at fault for. A missing permission is not among them: the
// operator mends it, and the payloads wait.
var documentCodes = []int{
	2,     // BadValue
	9,     // FailedToParse
	14,    // TypeMismatch
	15,    // Overflow
	16,    // InvalidLength
	22,    // InvalidBSON
	40,    // ConflictingUpdateOperators
	52,    // DollarPrefixedFieldName
	53,    // InvalidIdField
	54,    // NotSingleValueField
	55,    // InvalidDBRef
	56,    // EmptyFieldName
	57,    // DottedFieldName
	61,    // ShardKeyNotFound
	66,    // ImmutableField
	73,    // InvalidNamespace
	121,   // DocumentValidationFailure
	166,   // CommandNotSupportedOnView
	10334, // BSONObjectTooLarge
	16755, // the shape of a place that a geographic index cannot read
	17280, // KeyTooLong
	17419, // too large after an update
	31025, // ShardKeyTooLong
}

func isDuplicate(code int) bool { return slices.Contains(duplicateKeys, code) }

// classifyCode says whether a code of the server is about the document itself.
func classifyCode(code int) sinks.Class {
	if isDuplicate(code) || slices.Contains(documentCodes, code) {
		return sinks.Permanent
	}
	return sinks.Transient
}

// commandCodes are those that mean a document where they come with its place,
// and the command where they come without: a write concern that the server
// cannot meet, which is the operator's to mend.
var commandCodes = []int{2, 9}

// classify does so for an error about a whole bulk.
func classify(err error) sinks.Class {
	if c, ok := errors.AsType[mongo.CommandError](err); ok && !slices.Contains(commandCodes, int(c.Code)) {
		return classifyCode(int(c.Code))
	}
	return sinks.Transient
}
