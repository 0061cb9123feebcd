// Package eventsource is the vocabulary of an SQL-first event store: events and
// the aggregates they belong to, records as stores keep them, the [Repository]
// that an application talks to, and the [Store] that a backend implements.
//
// One path leads in and out: an [Event] becomes a [Record] through a
// [Serializer] and goes to a [Store], and back. Stores live in packages of
// their own: store/sqlstore for PostgreSQL, store/dynamostore for DynamoDB,
// store/memstore for memory. This package imports none of them.
//
// # Order
//
// A store gives every event a sequence ID, a ULID. The order of sequence IDs is
// the order in which events become visible: once a reader has been handed event
// s, no event with an ID at or below s appears later. A reader that keeps only
// the last ID it handled and asks for what comes after it
// ([Repository.GetEventsBySequenceID]) therefore sees every committed event
// once per pass, however many writers there are, however wrong their clocks
// are, and however long their transactions stay open.
//
// # Versions
//
// The events of one aggregate have the versions 1, 2, 3, ... without gaps. An
// event that is saved with version 0 goes to the end of its aggregate. One whose
// version is set is saved as exactly that version, or not at all: [ErrConflict].
package eventsource
