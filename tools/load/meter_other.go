//go:build !linux

package load

import (
	"time"

	"pushgate/tools/load/loop"
)

func processTime(int) (time.Duration, error) { return 0, loop.ErrUnsupported }
