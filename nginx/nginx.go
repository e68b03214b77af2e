// Package nginx holds the files that an operator's nginx includes, for the programs that write them
// out.
package nginx

import "embed"

// Files has the folder pushgate.
//
//go:embed pushgate/*.conf
var Files embed.FS
