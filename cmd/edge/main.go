// Command edge holds the connections of subscribers and delivers to them.
package main

import (
	"os"

	"pushgate/internal/ops"
	"pushgate/internal/server"
)

func main() {
	os.Exit(ops.Program("edge", os.Args[1:], os.Stdout, func() int { return server.RunEdge(os.Environ()) }))
}
