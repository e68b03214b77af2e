// Command publisher takes the posts of portals into the log.
package main

import (
	"os"

	"pushgate/internal/server"
)

func main() { os.Exit(server.RunPublisher(os.Environ())) }
