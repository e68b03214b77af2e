// Package nginx holds the files that an operator's nginx includes, for the programs that write them
// out.
package nginx

import "embed"

// Files are the files of this directory.
//
//go:embed *.conf
var Files embed.FS
