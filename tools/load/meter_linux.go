package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// processTime returns the processor time of a process and its threads, also those that have ended.
// The clock of a process is named by its id (clock_getcpuclockid(3)); it is exact, whereas /proc
// counts in hundredths of a second.
func processTime(pid int) (time.Duration, error) {
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
