package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
	"pushgate/internal/testkit/storetest"
)

func TestMain(m *testing.M) {
	logging.Disable() // the tests break connections on purpose
	testkit.Main(m)
}

// cuttable is a log whose notifications come by a link that can be cut without harm to the rest.
type cuttable struct {
	*store.Log
	link *store.Log
}

func (c cuttable) Follow(ctx context.Context, f proto.Follower) error { return c.link.Follow(ctx, f) }

// subject makes one of a server that tests reach by its address.
func subject(t testing.TB, addr string, cfg store.Config) storetest.Subject {
	t.Helper()
	proxy := faulty.Start(t, addr)
	s := store.New(open(t, "redis://"+addr), cfg)
	link := store.New(open(t, "redis://"+proxy.Addr()), cfg)
	return storetest.Subject{Log: cuttable{s.Log("default"), link.Log("default")}, Stats: s, Cut: proxy.Cut}
}

func TestRedis(t *testing.T) {
	server := storetest.StartRedis(t)
	storetest.Run(t, func(t *testing.T, cfg store.Config) storetest.Subject {
		rdb := open(t, server.URL())
		s := subject(t, server.Addr(), cfg)
		s.Advance = func(d time.Duration) { age(t, rdb, d) }
		s.Now = time.Now
		s.Flush = func() {
			if err := rdb.FlushAll(context.Background()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		s.Flush()
		return s
	})
}

// age makes a real Redis look as it will after d: its clock cannot be moved, but what it holds can
// be made older. That lives end when they should is tested apart from this, with short ones.
func age(t testing.TB, rdb redis.UniversalClient, d time.Duration) {
	t.Helper()
	if err := rdb.Eval(context.Background(), ageScript, nil, d.Milliseconds()).Err(); err != nil {
		t.Fatal(err)
	}
}

const ageScript = `
for _, key in ipairs(redis.call('KEYS', '*')) do
	local left = redis.call('PTTL', key)
	if left >= 0 and left <= tonumber(ARGV[1]) then
		redis.call('DEL', key)
	elseif left >= 0 then
		if string.find(key, '}:b:', 1, true) then
			redis.call('SET', key, string.format('%.0f', redis.call('GET', key) - ARGV[1]))
		elseif string.find(key, '}:seen', 1, true) then
			local users = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
			for i = 1, #users, 2 do
				redis.call('ZADD', key, users[i + 1] - math.floor(ARGV[1] / 1000), users[i])
			end
		elseif string.find(key, '}:leases', 1, true) then
			local edges = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
			for i = 1, #edges, 2 do
				redis.call('ZADD', key, string.format('%.0f', edges[i + 1] - ARGV[1]), edges[i])
			end
		elseif key == 'pg:processes' then
			local fields = redis.call('HGETALL', key)
			for i = 1, #fields, 2 do
				local ends = tonumber(string.sub(fields[i + 1], 1, 16)) - ARGV[1]
				redis.call('HSET', key, fields[i], string.format('%016d', ends) .. string.sub(fields[i + 1], 17))
			end
		end
		redis.call('PEXPIRE', key, left - ARGV[1])
	end
end
return 1`

// A restarted Redis has forgotten the script: it is sent once, however many questions travel
// together.
func TestHistoriesOfARedisThatForgotTheScript(t *testing.T) {
	server := storetest.StartRedis(t)
	l := store.New(open(t, server.URL()), store.Config{}).Log("default")
	id := post(t, l, msg(time.Hour, "x", ch(1)))
	for range 2 {
		if _, err := server.Do("SCRIPT", "FLUSH"); err != nil {
			t.Fatal(err)
		}
		for i, answer := range l.Histories(t.Context(), []proto.Question{{Channels: []channel.ID{ch(1)}}, {Channels: []channel.ID{ch(1)}, After: id}}) {
			if answer.Err != nil || len(answer.Page.Messages) != 1-i {
				t.Errorf("answer %d: %+v", i, answer)
			}
		}
	}
}
