package store

import (
	"context"
	"crypto/sha1"
	_ "embed" // the scripts
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed position.lua
	positionSource string
	//go:embed append.lua
	appendSource string
	//go:embed head.lua
	headSource string
	//go:embed history.lua
	historySource string
	//go:embed presence.lua
	presenceSource string
	//go:embed online.lua
	onlineSource string
	//go:embed seen.lua
	seenSource string
	//go:embed putprocess.lua
	putProcessSource string
	//go:embed processes.lua
	processesSource string
	//go:embed confirm.lua
	confirmSource string

	appendScript     = newAppendScript("PUBLISH")
	shardedScript    = newAppendScript("SPUBLISH") // the same for a cluster, where PUBLISH would go to every node
	headScript       = newScript(positionSource + headSource)
	historyScript    = newScript(historySource)
	presenceScript   = newScript(presenceSource)
	onlineScript     = newScript(onlineSource)
	seenScript       = newScript(seenSource)
	putProcessScript = newScript(putProcessSource)
	processesScript  = newScript(processesSource)
	confirmScript    = newScript(confirmSource)
)

func newAppendScript(publish string) script {
	return newScript(positionSource + "local publish = '" + publish + "'\n" + appendSource)
}

// script is a Lua script and the name by which Redis knows it once it has seen it. It is immutable.
type script struct{ source, hash string }

func newScript(source string) script {
	sum := sha1.Sum([]byte(source))
	return script{source: source, hash: hex.EncodeToString(sum[:])}
}

// processor is a client or a connection.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// run runs a script, sending its source only if Redis does not know it.
func run(ctx context.Context, rdb processor, s script, key string, args ...any) *redis.Cmd {
	cmd := process(ctx, rdb, "evalsha", s.hash, key, args)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		return process(ctx, rdb, "eval", s.source, key, args)
	}
	return cmd
}

func process(ctx context.Context, rdb processor, name, what, key string, args []any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, append([]any{name, what, 1, key}, args...)...)
	_ = rdb.Process(ctx, once{cmd}) // the error stays in cmd
	return cmd
}

// once is a command that no client sends again after it may have arrived, whatever the client's options say: an append sent twice is
// a message doubled.
type once struct{ *redis.Cmd }

// NoRetry reports true.
func (once) NoRetry() bool { return true }
