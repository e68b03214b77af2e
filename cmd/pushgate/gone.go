package main

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lookForReader is how often it is looked whether somebody still reads the output.
const lookForReader = 500 * time.Millisecond

// whileRead returns a context that ends when the reader of a pipe has gone, as head does once it
// has seen enough. Without it a command that waits for messages would notice by the next one only.
func whileRead(ctx context.Context, out io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	f, ok := out.(*os.File)
	if !ok {
		return ctx, cancel
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return ctx, cancel
	}
	go func() {
		ticker := time.NewTicker(lookForReader)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			_ = conn.Control(func(fd uintptr) {
				fds := []unix.PollFd{{Fd: int32(fd)}}
				if n, err := unix.Poll(fds, 0); n > 0 && err == nil && fds[0].Revents&unix.POLLERR != 0 {
					cancel()
				}
			})
		}
	}()
	return ctx, cancel
}
