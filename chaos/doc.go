// Package chaos breaks what is around an event store while it is in use, and checks
// afterwards that every promise was kept.
//
// Worker processes save and read events, as an application would, and write down
// what they were told (package internal/history). Meanwhile processes are killed and
// frozen, servers are killed and restarted, connections are cut, delayed and dried
// up, clocks jump, the disk runs full. When all is well again the events are read
// once more, and the histories of all processes are checked.
//
// It is a module of its own, since it takes libraries that an event store does not
// need. CONTRIBUTING.md says how to run it.
package chaos
