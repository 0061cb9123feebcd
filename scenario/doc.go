// Package scenario is a language for tests of aggregates and projections:
//
//	scenario.New(t, &Order{}).
//		Given(&Placed{Total: 30}, &Paid{Amount: 30}).
//		When(Ship{CommandBase: order, Carrier: "DHL"}).
//		Then(&Shipped{Carrier: "DHL"})
//
// [New] tests what an aggregate decides, [NewProjection] what a projection makes of
// events. There is no store to set up, and nothing to clean up.
//
// # What is the same as in production
//
// Commands are decided by [eventsource.Decide], which the Dispatcher uses too. For each
// command the aggregate is made anew and rebuilt from its events, as if it had been
// loaded: what Handle changes by itself is found, and fails the test. Projections are
// run by package projection.
//
// # How events are compared
//
// Expected events have to be equal to those that came, in number, order, type and
// content: zero values, user ID and metadata included. The aggregate ID, the version and
// the timestamp count where the expected event sets them. The sequence ID does not count,
// since the store replaces it.
//
// Values are compared by package cmp. So a nil slice is not an empty one (unless there is
// WithCmp(cmpopts.EquateEmpty())), and a type with a method Equal is compared by that:
// times are equal if they are the same instant, in whatever location. Unexported fields
// count like others. Metadata that is nil and metadata that is empty are the same.
//
// # No test passes by accident
//
// A scenario that ends without a Then fails, and so does one that goes on after a command
// that failed. The first failure ends the test.
//
// Events and commands that are passed in are not changed, so that they may be shared by
// tests that run at once.
package scenario
