package projection_test

import (
	"os"
	"testing"

	"github.com/eventsource-go/eventsource/internal/projectionsuite"
)

func TestMain(m *testing.M) {
	projectionsuite.SideBySide(8)
	os.Exit(m.Run())
}
