package workload

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
)

// peakMemory is the largest resident set of this process so far, in bytes. It is
// not what wait(2) tells the parent: that begins with the parent's own.
func peakMemory() (int64, error) {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer func() { _ = status.Close() }()
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			var kibibytes int64
			if _, err := fmt.Sscan(value, &kibibytes); err != nil {
				return 0, err
			}
			return kibibytes << 10, nil
		}
	}
	return 0, errors.Join(lines.Err(), errors.New("no VmHWM in /proc/self/status"))
}
