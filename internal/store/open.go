package store

import (
	"errors"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ErrURL is what [Open] says of a URL that it cannot use. It repeats nothing of the URL, which may hold a password.
var ErrURL = errors.New("not the URL of a Redis: want redis://[USER:PASSWORD@]HOST[:PORT][/DB], the same with rediss:// for TLS, " +
	"or unix://[USER:PASSWORD@]/PATH[?db=DB]")

// Open makes a client with limits that suit the store; it does not connect yet. The schemes are redis, rediss and unix. Parameters of
// go-redis may follow in the query; those given there win, but for retries, which are off.
func Open(rawURL string) (redis.UniversalClient, error) {
	if u, err := url.Parse(rawURL); err != nil || u.Scheme != "unix" && u.Hostname() == "" {
		return nil, ErrURL
	}
	opt, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, ErrURL
	}
	opt.Protocol = 2 // version 3 adds to every command a look for pushed news of the server, which we do not use
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opt.ContextTimeoutEnabled = true
	opt.MaxRetries = -1
	opt.DialerRetries = 1
	or(&opt.PoolSize, 32)
	or(&opt.DialTimeout, time.Second)
	or(&opt.ReadTimeout, time.Second)
	or(&opt.WriteTimeout, time.Second)
	or(&opt.PoolTimeout, time.Second)
	return redis.NewClient(opt), nil
}
