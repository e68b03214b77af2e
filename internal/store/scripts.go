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
	//go:embed revoke.lua
	revokeSource string
	//go:embed revocations.lua
	revocationsSource string
	//go:embed audit.lua
	auditSource string
	//go:embed audits.lua
	auditsSource string
	//go:embed ask.lua
	askSource string
	//go:embed putanswer.lua
	putAnswerSource string
	//go:embed takeanswers.lua
	takeAnswersSource string
	//go:embed lease.lua
	leaseSource string
	//go:embed putsample.lua
	putSampleSource string
	//go:embed sampled.lua
	sampledSource string

	appendScript = newAppendScript("PUBLISH")
	// The same for a cluster, where PUBLISH would go to every node.
	shardedScript    = newAppendScript("SPUBLISH")
	headScript       = newScript(positionSource + headSource)
	historyScript    = newScript(historySource)
	presenceScript   = newScript(presenceSource)
	onlineScript     = newScript(onlineSource)
	seenScript       = newScript(seenSource)
	putProcessScript = newScript(putProcessSource)
	processesScript  = newScript(processesSource)
	confirmScript    = newScript(confirmSource)
	auditScript      = newScript(auditSource)
	auditsScript     = newScript(auditsSource)

	askScript         = newScript(publishBy("PUBLISH") + askSource)
	shardedAskScript  = newScript(publishBy("SPUBLISH") + askSource)
	putAnswerScript   = newScript(putAnswerSource)
	takeAnswersScript = newScript(takeAnswersSource)
	leaseScript       = newScript(leaseSource)
	putSampleScript   = newScript(putSampleSource)
	sampledScript     = newScript(sampledSource)

	revokeScript        = newScript(positionSource + publishBy("PUBLISH") + revokeSource)
	shardedRevokeScript = newScript(positionSource + publishBy("SPUBLISH") + revokeSource)
	revocationsScript   = newScript(revocationsSource)
)

func newAppendScript(publish string) script {
	return newScript(positionSource + publishBy(publish) + appendSource)
}

// publishBy returns the line that tells a script by which command it publishes.
func publishBy(command string) string { return "local publish = '" + command + "'\n" }

// script is a Lua script and the hash by which Redis knows it once it has been sent. It is
// immutable.
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

// runAll runs a script several times on one key in one round trip, or two if Redis does not know
// it. Each command has its own error.
func runAll(ctx context.Context, rdb redis.UniversalClient, s script, key string, args [][]any) []*redis.Cmd {
	pipeline := func(first, what string) []*redis.Cmd {
		cmds := make([]*redis.Cmd, len(args))
		pipe := rdb.Pipeline()
		for i, a := range args {
			cmds[i] = command(ctx, first, what, key, a)
			_ = pipe.Process(ctx, once{cmds[i]})
			first, what = "evalsha", s.hash // the first one has loaded it
		}
		_, _ = pipe.Exec(ctx) // the errors stay in the commands
		return cmds
	}
	cmds := pipeline("evalsha", s.hash)
	for _, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			return pipeline("eval", s.source)
		}
	}
	return cmds
}

func command(ctx context.Context, name, what, key string, args []any) *redis.Cmd {
	return redis.NewCmd(ctx, append([]any{name, what, 1, key}, args...)...)
}

func process(ctx context.Context, rdb processor, name, what, key string, args []any) *redis.Cmd {
	cmd := command(ctx, name, what, key, args)
	_ = rdb.Process(ctx, once{cmd}) // the error stays in cmd
	return cmd
}

// once is a command that no client sends again after it may have arrived, whatever the client's
// options say: an append that is sent twice doubles its message.
type once struct{ *redis.Cmd }

// NoRetry reports true.
func (once) NoRetry() bool { return true }
