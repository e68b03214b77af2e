package redisurl

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Address{
		"redis://h":                             {Hosts: []string{"h:6379"}},
		"redis://h/":                            {Hosts: []string{"h:6379"}},
		"redis://127.0.0.1:7/3":                 {Hosts: []string{"127.0.0.1:7"}, DB: 3},
		"redis://[::1]":                         {Hosts: []string{"[::1]:6379"}},
		"redis://[::1]:7":                       {Hosts: []string{"[::1]:7"}},
		"redis://:p@h":                          {Hosts: []string{"h:6379"}, Password: "p"},
		"redis://u:p%40%2F:x@h":                 {Hosts: []string{"h:6379"}, User: "u", Password: "p@/:x"},
		"redis://h?pool_size=9&dial_timeout=1s": {Hosts: []string{"h:6379"}, PoolSize: 9, DialTimeout: time.Second},
		"redis://h?read_timeout=2s&write_timeout=3s": {
			Hosts: []string{"h:6379"}, ReadTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second},
		"rediss://h": {Hosts: []string{"h:6379"}, TLS: &TLS{}},
		"rediss://h/1?ca=/a&cert=/b&key=/c&server_name=n": {
			Hosts: []string{"h:6379"}, DB: 1, TLS: &TLS{CA: "/a", Cert: "/b", Key: "/c", ServerName: "n"}},
		"unix:///run/r.sock":            {Unix: true, Hosts: []string{"/run/r.sock"}},
		"unix://u:p@/run/r%20s?db=2":    {Unix: true, Hosts: []string{"/run/r s"}, User: "u", Password: "p", DB: 2},
		"redis+sentinel://a,b:1/master": {Shape: Sentinel, Hosts: []string{"a:26379", "b:1"}, Master: "master"},
		"redis+sentinel://u:p@[::1],b/m/4?sentinel_username=x&sentinel_password=y": {Shape: Sentinel, Hosts: []string{"[::1]:26379", "b:26379"},
			Master: "m", DB: 4, User: "u", Password: "p", SentinelUser: "x", SentinelPassword: "y"},
		"rediss+sentinel://a/m?ca=/a": {Shape: Sentinel, Hosts: []string{"a:26379"}, Master: "m", TLS: &TLS{CA: "/a"}},
		"redis+cluster://a:1,b:2,c":   {Shape: Cluster, Hosts: []string{"a:1", "b:2", "c:6379"}},
		"rediss+cluster://:p@a:1/":    {Shape: Cluster, Hosts: []string{"a:1"}, Password: "p", TLS: &TLS{}},
	} {
		got, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := testkit.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "no scheme"},
		{"hunter2", "no scheme"},
		{"http://:hunter2@h", "unknown scheme"},
		{"redis+hunter2://h", "unknown scheme"},
		{"redis+sentinels://h/m", "unknown scheme"},
		{"s://h", "unknown scheme"},
		{"redis://", "host"},
		{"redis://:hunter2@", "host"},
		{"redis://u:hunter2@h:x", "host"},
		{"redis://u:hunter2@h:0", "host"},
		{"redis://u:hunter2@h:65536", "host"},
		{"redis://u:hunt/er2@h", "host"},
		{"redis://::1", "host"},
		{"redis://u:hunter2@h,i", "neither sentinels nor a cluster"},
		{"redis://hunter2@h", "without a password"},
		{"redis://u:@h", "without a password"},
		{"redis://u:hunter2%zz@h", "not percent-encoded"},
		{"redis://u:hunter2@h /1", "must be percent-encoded"},
		{"redis://u:hunter2#@h", "must be percent-encoded"},
		{"redis://u:hunter2@h/x", "database"},
		{"redis://u:hunter2@h/-1", "database"},
		{"redis://h?hunter2=1", "unknown parameter; known ones are dial_timeout, pool_size, read_timeout, write_timeout"},
		{"redis://h?ca=/hunter2", "unknown parameter"},
		{"rediss://h?skip_verify=true", "unknown parameter; known ones are ca, cert"},
		{"redis://h?pool_size=0", "pool_size"},
		{"redis://h?pool_size=hunter2", "pool_size"},
		{"redis://h?dial_timeout=1h", "dial_timeout"},
		{"redis://h?dial_timeout=1s&dial_timeout=2s", "duplicate"},
		{"redis://h?%zz", "malformed"},
		{"rediss://h?cert=/hunter2", "set together"},
		{"unix://", "socket"},
		{"unix:///", "socket"},
		{"unix://hunter2", "socket"},
		{"unix://h/hunter2", "socket"},
		{"redis+sentinel://h", "name of the master"},
		{"redis+sentinel://h//1", "name of the master"},
		{"redis+sentinel://h/m/x", "database"},
		{"redis+sentinel://h,/m", "host"},
		{"redis+cluster://h/1", "no databases"},
		{"redis+cluster://h?sentinel_password=hunter2", "unknown parameter"},
	} {
		a, err := Parse(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		} else if strings.Contains(err.Error(), "hunt") || !testkit.Equal(a, Address{}) {
			t.Errorf("%s: the error or the result shows too much: %v, %v", c.text, err, fmt.Sprint(a.Hosts))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("redis+sentinel://u:p@[::1]:7,b/m/4?sentinel_username=x")
	f.Add("rediss+cluster://a:1,b:2?ca=/a")
	f.Add("unix://u:p@/x?db=2")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			return
		}
		if len(a.Hosts) == 0 || a.Hosts[0] == "" || (a.Shape == Sentinel) != (a.Master != "") || a.DB < 0 || a.Shape != Cluster && a.Shape != Sentinel && len(a.Hosts) > 1 {
			t.Errorf("%q: %+v", text, a)
		}
	})
}
