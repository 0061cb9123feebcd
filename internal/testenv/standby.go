package testenv

import "testing"

// Standby starts a server and a hot standby that replays what the server commits.
// Both are the test's own and end with it, so the test may set them up as it likes.
// The URLs are those of a superuser. See [Cluster] for more than URLs.
func Standby(t testing.TB) (primaryURL, standbyURL string) {
	t.Helper()
	primary := NewCluster(t)
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return primary.URL(), standby.URL()
}
