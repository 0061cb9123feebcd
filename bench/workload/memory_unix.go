//go:build unix

package workload

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// peakMemory is the largest resident set of a process that has ended, in bytes.
func peakMemory(p *os.ProcessState) (int64, error) {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	if runtime.GOOS == "darwin" {
		return usage.Maxrss, nil // getrusage(2) there: bytes
	}
	return usage.Maxrss << 10, nil // kibibytes
}
