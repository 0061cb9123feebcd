//go:build !unix

package workload

import (
	"errors"
	"os"
)

func peakMemory(*os.ProcessState) (int64, error) { return 0, errors.ErrUnsupported }
