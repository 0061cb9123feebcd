//go:build unix

// Package history checks an event store from the outside. Processes record what
// their writers were told and what their readers saw, each into a file of its
// own; afterwards all files are read as one [History] and checked against what
// the library promises.
//
// Nothing is buffered, so a process that is killed loses nothing that it had
// begun. Times are CLOCK_MONOTONIC, which all processes of one machine share.
// The package knows of no backend: it judges by the final list, the complete
// readings that were made after everything had stopped and been healed.
//
//	r, err := history.Create("writer-1.jsonl", "writer-1")
//	...
//	call := r.Save([]history.Event{{Key: "writer-1/7", Aggregate: "a", Type: "Added"}})
//	err = repo.Save(ctx, event)
//	call.Return([]history.Event{{Key: "writer-1/7", Aggregate: "a", Type: "Added",
//		Version: event.Version, SequenceID: event.SequenceID}}, err)
package history
