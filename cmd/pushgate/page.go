package main

import (
	"embed"
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
)

//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page load its own files and talk to its own server, and nothing else. It
// shows what anybody publishes.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page serves the page at / and what it needs under /dev/.
type page struct {
	signer   *sign.Signer
	private  channel.Ref
	shared   channel.Ref
	ttlRules string
	metrics  prometheus.Gatherer
}

// pageChannel is one channel of pageConfig.
type pageChannel struct {
	ID     string `json:"id"`     // to publish to
	Signed string `json:"signed"` // to subscribe to
}

// pageConfig is the answer of /dev/config: what a portal would tell a browser.
type pageConfig struct {
	ChannelID string                 `json:"channel_id"` // both channels, signed
	Channels  map[string]pageChannel `json:"channels"`   // "private" and "shared"
	WebSocket string                 `json:"websocket"`
	Poll      string                 `json:"poll"`
	Publish   string                 `json:"publish"`
	TTLRules  string                 `json:"ttl_rules"`
}

// pageStatus is the answer of /dev/status.
type pageStatus struct {
	WebSockets int `json:"websockets"`
	Polls      int `json:"polls"`
	Published  int `json:"published"`
	Delivered  int `json:"delivered"`
	Replayed   int `json:"replayed"`
}

// register adds the page to mux.
func (p *page) register(mux *http.ServeMux) {
	for path, name := range map[string]string{
		"GET /{$}":             "index.html",
		"GET /dev/page.css":    "page.css",
		"GET /dev/page.js":     "page.js",
		"GET /dev/protocol.js": "protocol.js",
		"GET /dev/icon.svg":    "icon.svg",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			guard(w)
			http.ServeFileFS(w, r, pageFiles, "page/"+name)
		})
	}
	mux.HandleFunc("GET /dev/config", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, p.config(r.Host)) })
	mux.HandleFunc("GET /dev/status", func(w http.ResponseWriter, r *http.Request) {
		families, err := p.metrics.Gather()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, status(families))
	})
}

func guard(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store") // the next build may have another page at the same address
}

func writeJSON(w http.ResponseWriter, v any) {
	guard(w)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// config is for a browser that knows this server as host.
func (p *page) config(host string) pageConfig {
	return pageConfig{
		ChannelID: signed(p.signer, p.private, p.shared),
		Channels: map[string]pageChannel{
			"private": {p.private.Private.String(), signed(p.signer, p.private)},
			"shared":  {p.shared.Private.String(), signed(p.signer, p.shared)},
		},
		WebSocket: "ws://" + host + "/bitrix/subws/",
		Poll:      "http://" + host + "/bitrix/sub/",
		Publish:   "http://" + host + "/bitrix/pub/",
		TTLRules:  p.ttlRules,
	}
}

// status sums up the metrics that the page shows.
func status(families []*dto.MetricFamily) pageStatus {
	sum := func(name, label string) int {
		var total float64
		for _, family := range families {
			if family.GetName() != "pushgate_"+name {
				continue
			}
			for _, m := range family.GetMetric() {
				if label == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
					total += m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
		return int(total)
	}
	return pageStatus{
		WebSockets: sum("connections", "websocket"),
		Polls:      sum("connections", "longpoll"),
		Published:  sum("published_total", ""),
		Delivered:  sum("delivered_total", ""),
		Replayed:   sum("replayed_total", ""),
	}
}
