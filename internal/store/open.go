package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"pushgate/internal/redisurl"
)

// ErrURL is the error of [Open] for a URL that it cannot use. It repeats nothing of the URL, which
// may hold a password.
var ErrURL = errors.New("invalid Redis URL: want " + redisurl.Forms)

// Open returns a client with limits that suit the store. It does not connect yet. The forms of the
// URL are in [redisurl.Forms]: one server, a master that sentinels know, or a cluster. The query
// may have ca, cert and key, which are paths for TLS, and pool_size, dial_timeout, read_timeout and
// write_timeout. An error wraps ErrURL, or says which file cannot be used.
func Open(rawURL string) (redis.UniversalClient, error) {
	address, err := redisurl.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	opt := redis.UniversalOptions{
		Addrs:            address.Hosts,
		MasterName:       address.Master,
		DB:               address.DB,
		Username:         address.User,
		Password:         address.Password,
		SentinelUsername: address.SentinelUser,
		SentinelPassword: address.SentinelPassword,

		PoolSize:     address.PoolSize,
		DialTimeout:  address.DialTimeout,
		ReadTimeout:  address.ReadTimeout,
		WriteTimeout: address.WriteTimeout,
		PoolTimeout:  time.Second,

		// With version 3 every command also looks for push notifications, which we do not use.
		Protocol:                 2,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1,
		DialerRetries:            1,
		PipelinePoolSize:         -1, // no second pool
	}
	or(&opt.PoolSize, 32)
	or(&opt.DialTimeout, time.Second)
	or(&opt.ReadTimeout, time.Second)
	or(&opt.WriteTimeout, time.Second)
	if address.TLS == nil {
		opt.Dialer = dialer(opt.DialTimeout)
	} else {
		if opt.TLSConfig, err = tlsConfig(*address.TLS); err != nil {
			return nil, err
		}
	}
	switch address.Shape {
	case redisurl.Sentinel:
		return redis.NewFailoverClient(opt.Failover()), nil
	case redisurl.Cluster:
		cluster := opt.Cluster()
		// They ask the servers about commands; ours name their keys.
		cluster.DisableRoutingPolicies = true
		return redis.NewClusterClient(cluster), nil
	default:
		simple := opt.Simple()
		if address.Unix {
			simple.Network = "unix"
		}
		return redis.NewClient(simple), nil
	}
}

// tlsConfig reads the files that a URL names.
func tlsConfig(t redisurl.TLS) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read the CA certificates for Redis: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the CA certificates for Redis: no certificate in %s", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate for Redis: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
