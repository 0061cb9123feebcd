// Package projection keeps read models and process managers up to date with the events
// of a store: a [Projection] handles all events, in order, from the first one on, and
// remembers how far it is.
//
// # Order and delivery
//
// Events come in sequence order, and none is ever missed: that is what the store
// promises. What happens when a process dies depends on where the checkpoint is kept.
//
//   - At least once, by default: the handler is called, and when it has returned the checkpoint
//     moves. After a crash the last events come again, in order.
//   - Exactly once: the handler writes in the transaction in which the checkpoint moves, so
//     that both happen or none. See package sqlprojection, for read models in PostgreSQL; the events may be elsewhere.
//
// Calls of other services can be repeated in either case.
//
// # Many processes
//
// Any number of processes may run a projection of one name. Each partition, of which
// there is one unless [WithPartitions] says otherwise, is worked on by one of them,
// under a lease with a fencing token. When that process ends, another one goes on
// within a second; when it dies, freezes or is cut off, within a few seconds
// ([WithLease]). Should it wake up again, nothing that it still does moves the
// checkpoint, or is committed with it. Clocks of different machines are never compared.
//
// # Failures
//
// An event whose handler returns an error, or panics, is tried again ([WithRetry]), and
// then stops the projection, is skipped, or is parked ([WithFailurePolicy]). A parked
// event holds back the later ones of its aggregate, and no others. A [Manager] lists,
// retries and drops what was parked.
//
// # Versions
//
// A projection that is to do something else gets a higher version ([WithVersion]) and
// tables of its own. It handles all events anew while the old version goes on, and
// takes over in one step when it is level with it. What others would see twice, such as
// mails, is declared with [SideEffect].
package projection
