package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/proto"
)

// manyPortals is how many portals a lively installation has.
const manyPortals = 10_000

// lively is an installation at work, with something to see on each page.
func lively(f *adminPort) {
	f.answer("processes", func(*http.Request) any {
		return processesAnswer([]object{process("edge-0", "edge"), with(process("edge-1", "edge"), "connections", object{"websocket": 3904, "poll": 216, "stream": 8}, "host", "push-2"),
			process("publisher-0", "publisher"), with(process("publisher-1", "publisher"), "ready", false, "reason", "redis: i/o timeout", "clock_ms", -4200)})
	})
	f.answer("history", historyAnswer)
	f.answer("portals", portalsAnswer)
	f.answer("redis", redisAnswer())
	f.answer("explain", explainAnswer())
	f.answer("revocations", object{"portal": "", "revocations": []object{
		{"entry": "user:17", "kind": "user", "user": 17, "until": time.Now().Add(23 * time.Hour).Unix()},
		{"entry": "channel:8f14e45fceea167a5a36dedd4bea2543", "kind": "channel", "until": time.Now().Add(300 * time.Hour).Unix()}}})
	f.answer("doctor", doctorAnswer())
	for i, what := range []string{"drain", "log-level", "revoke"} {
		_ = f.RecordAct(context.Background(), proto.Act{At: time.Now().Add(-time.Duration(3-i) * time.Hour), Who: "anna", From: "192.0.2.7", Process: fmt.Sprintf("edge-%d", i%2), What: what,
			Whom: []string{"", "debug", "user 17"}[i], Result: "done"})
	}
}

// portalsAnswer returns a page of many portals, as /admin/portals does.
func portalsAnswer(r *http.Request) any {
	query := r.URL.Query()
	limit, _ := strconv.Atoi(query.Get("limit"))
	page := []object{}
	next := ""
	for i := range manyPortals {
		name := fmt.Sprintf("portal-%04d.example.com", i)
		if name <= query.Get("after") || !strings.Contains(name, query.Get("find")) {
			continue
		}
		if len(page) == limit {
			next = page[limit-1]["name"].(string)
			break
		}
		page = append(page, object{"name": name, "connections": 3 * i % 701, "channels": 7 * i % 1703, "posts": 11 * i % 9001, "messages": 13 * i % 20011, "limits": object{"connections": 10 * (i % 2)}})
	}
	return object{"portals": page, "next": next, "total": manyPortals}
}

func redisAnswer() object {
	types := []object{}
	for i, name := range []string{"im_message", "im_readMessage", "tasks_comment_add", "crm_kanban_pulluserchanges", "online_userStatus"} {
		types = append(types, object{"type": name, "messages": 40000 >> i, "bytes": 9 << 20 >> (2 * i), "estimated_bytes": 61 << 20 >> (2 * i)})
	}
	channels := []object{}
	for i := range 8 {
		channels = append(channels, object{"channel": fmt.Sprintf("%06x…", 0xa8f3c1+i*7919), "portal": "default", "messages": 1000 - 90*i, "bytes": (900 - 80*i) << 10})
	}
	node := object{"address": "127.0.0.1:6379", "role": "master", "version": "7.2.4", "memory_bytes": 312 << 20, "limit_bytes": 1 << 30, "policy": "noeviction", "replicas": 1, "evicted": 0,
		"persistence": object{"aof": "on"}, "peak_bytes": 400 << 20, "fork_ms": 4.1, "uptime_s": 86400, "replicas_behind": []string{}, "risks": []string{"It may evict messages."}}
	return object{"nodes": []object{node}, "types": types, "others": []object{{"type": "lists", "messages": 412, "bytes": 1 << 20, "estimated_bytes": 2 << 20}}, "channels": channels, "sample": object{"at": time.Now().UnixMilli(), "messages": 5000, "channels": 412, "complete": false},
		"slow": []object{{"at": time.Now().Add(-time.Hour).UnixMilli(), "took_us": 18200, "command": "EVALSHA 4f1c… 3 pg:{default}:log", "node": "127.0.0.1:6379"}}}
}

func explainAnswer() object {
	now := time.Now().UnixMilli()
	id := "00000000000000000000000042"
	written := []string{"It was written to the connection.", "Сообщение записано в соединение."}
	gone := []string{"Nobody was connected to the channel.", "К каналу никто не был подключён."}
	channel := "3e5a0b7c9d1f2e4a6b8c0d2e4f6a8b0c"
	session := object{"process": "edge-0", "number": 4211, "portal": "default", "channel": channel, "transport": "websocket", "began": now - 7200000, "ended": 0, "reason": "", "polls": 0,
		"from": id, "sent": id, "acknowledged_through": id, "acknowledged_at": now, "why": "written", "text": written, "written": []object{{"from": (now - 60000) * 1000, "to": (now - 59998) * 1000}}, "acknowledged": true}
	return object{"query": id, "kind": "message", "portal": "default", "now": now,
		"message": object{"id": id, "state": "stored", "type": "im_message", "sender": "portal", "created": now - 60004, "expires": now + 3600000, "life_ms": 3660000, "rule": "im_*", "rule_ms": 86400000, "bytes": 812, "receivers": 2,
			"accepted": []object{{"process": "publisher-0", "at": now - 60000, "took": 1.4, "outcome": "stored", "id": id, "type": "im_message"}},
			"lists":    []object{{"channel": channel, "listed": true, "trimmed": false}},
			"heard":    []object{{"process": "edge-0", "from": now - 59999, "to": now - 59999, "known": true}, {"process": "edge-1", "from": 0, "to": 0, "known": true}}},
		"verdicts": []object{{"channel": channel, "why": "written", "text": written}, {"channel": "77aa0b7c9d1f2e4a6b8c0d2e4f6a8b0c", "why": "not_connected", "text": gone}},
		"sessions": []object{session, with(object{"number": 17, "ended": now - 90000, "reason": "client_closed", "why": "not_connected", "text": gone, "written": nil, "acknowledged": false},
			"process", "edge-1", "began", now-5400000, "transport", "longpoll", "polls", 31, "sent", "", "acknowledged_through", "")},
		"channels": []object{{"channel": channel, "length": 12, "newest": []string{id}, "posts": []object{}, "why": "written", "text": written}},
		"parts":    []object{{"channel": "3e5a0b…", "signed": true, "key": 1, "algorithm": "sha1", "until": 0}, {"channel": "77aa0b…", "signed": false, "shortened": true}},
		"refused":  []object{{"process": "edge-1", "at": now - 100000, "portal": "default", "why": "key_changed", "text": gone}},
		"unknown":  []object{{"process": "edge-9", "what": "silent", "since": 0, "text": []string{"The process does not answer.", "Процесс не отвечает."}}}}
}

func doctorAnswer() object {
	return object{"version": 1, "state": "error", "findings": []object{
		{"id": "redis.version", "group": "redis", "state": "ok", "looks_at": "The version of Redis", "evidence": []string{"7.2.4"}},
		{"id": "redis.eviction", "group": "redis", "state": "error", "looks_at": "What Redis does when its memory is full", "evidence": []string{"maxmemory-policy allkeys-lru"},
			"problem": "Redis throws away keys when its memory is full, and messages are lost without a trace.", "remedy": "Set maxmemory-policy noeviction in redis.conf, and restart Redis."},
		{"id": "nginx.timeout", "group": "nginx", "state": "warning", "looks_at": "Read time-outs of nginx", "evidence": []string{"proxy_read_timeout 30s"},
			"problem": "nginx ends polls before they are answered.", "remedy": "Set proxy_read_timeout 60s in the location of the subscribers."},
		{"id": "machine.thp", "group": "machine", "state": "unknown", "looks_at": "Huge pages", "evidence": []string{}, "why": "The file cannot be read."},
		{"id": "machine.files", "group": "machine", "state": "ok", "looks_at": "Descriptors", "evidence": []string{"65536"}}}}
}
