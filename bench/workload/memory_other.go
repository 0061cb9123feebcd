//go:build !linux

package workload

import (
	"errors"
	"fmt"
)

func peakMemory() (int64, error) {
	return 0, fmt.Errorf("peak of memory: %w", errors.ErrUnsupported)
}
