// Command edge holds the connections of subscribers and delivers to them.
package main

import (
	"os"

	"pushgate/internal/server"
)

func main() { os.Exit(server.RunEdge(os.Environ())) }
