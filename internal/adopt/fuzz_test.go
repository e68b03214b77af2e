package adopt

import (
	"testing"
	"testing/fstest"
)

// FuzzReaders: no content of any file makes adopt panic, or say a secret that it did not ask for.
func FuzzReaders(f *testing.F) {
	names := []string{
		"etc/sysconfig/push-server-multi", "etc/push-server/config.json", "home/bitrix/www/bitrix/.settings.php", "etc/nginx/nginx.conf",
		"etc/redis/redis.conf", "etc/logrotate.d/push-server", "etc/hosts", "docker-compose.yml", "values.yaml", ".env",
	}
	for i, text := range []string{
		"SECURITY_KEY=x\nBASE_SUB=801\n", `{"servers": [{"port": 1}], "limits": {"maxPayload": 1}}`, "<?php return ['pull' => ['value' => ['nginx' => 'N']]];",
		"http { server { listen 80; include a*; location ~ ^/bitrix/pub/ { proxy_pass http://u; } } upstream u { ip_hash; server a:9010; } }",
		"port 1\nmaxmemory-policy x\n", "daily\nsystemctl restart push-server\n", "127.0.0.1 a b # c\n",
		"services: {a: {<<: {x: y}, image: redis:6, environment: [MODE=sub, LISTEN_PORT=$P], ports: [1]}}", "a: {env: [{name: MODE, value: sub}]}\n---\nb: 1", "P=1\n",
	} {
		f.Add(uint8(i), []byte(text))
	}
	f.Add(uint8(3), []byte("server { location { } }")) // without an argument
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		name := names[int(which)%len(names)]
		fsys := fstest.MapFS{name: {Data: text}}
		if name == ".env" {
			fsys["compose.yml"] = &fstest.MapFile{Data: []byte("services: {a: {env_file: .env, environment: {LISTEN_PORT: ${P}}}}")}
		}
		s, err := look(t.Context(), fsys)
		if err != nil {
			t.Fatal(err)
		}
		p, err := makePlan(s, "DIR", &counter{}, "")
		if err != nil {
			t.Fatal(err)
		}
		_ = p.text()
	})
}
