// Command publisher takes the posts of portals into the log.
package main

import (
	"os"

	"pushgate/internal/ops"
	"pushgate/internal/server"
)

func main() {
	os.Exit(ops.Program("publisher", os.Args[1:], os.Stdout, func() int { return server.RunPublisher(os.Environ()) }))
}
