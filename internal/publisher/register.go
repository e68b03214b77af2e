package publisher

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"

	"pushgate/internal/portal"
)

// maxRegistration bounds the body of a registration, in bytes, as in the original.
const maxRegistration = 1024

// registration is the answer to a portal's registration.
type registration struct {
	Status string `json:"status"`
	Key    string `json:"securityKey,omitempty"`
	Error  string `json:"error,omitempty"`
}

// register returns a portal's key to it. It is open to the world: a sender who knows the licence
// key that an operator has configured is the portal.
func (p *Publisher) register(w http.ResponseWriter, r *http.Request) {
	hold := p.reserve(w, r)
	defer hold.release()
	body, no := readBody(r, maxRegistration, hold)
	if no != nil {
		p.refuse(w, no)
		return
	}
	key, err := p.tenants.Load().table.Register(verificationQuery(r.Header.Get("Content-Type"), body))
	answer := registration{Status: "success", Key: key}
	if err != nil {
		p.metrics.refused[notRegistered].Inc()
		var told portal.RegistrationError
		if !errors.As(err, &told) {
			told = portal.ErrWrongRequest
		}
		answer = registration{Status: "error", Error: string(told)}
	} else {
		p.metrics.registered.Inc()
	}
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err) // strings always encode
	}
	w.Header().Set("Cache-Control", "no-store")
	answerJSON(w, http.StatusOK, text)
}

// verificationQuery returns the only field of a registration's form.
func verificationQuery(contentType string, body []byte) string {
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != "application/x-www-form-urlencoded" {
		return ""
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get("verificationQuery")
}

// region is what the settings page of a portal shows behind the host of this installation, where
// the vendor's servers have theirs.
const region = "pushgate"

// answerHost returns a handler that answers portals with a text, in which the only host is the
// configured one. The Host of the request may be anybody's: a portal that stored it would post
// there. There is no newline at the end, which portals would store as a part of the host.
func (p *Publisher) answerHost(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		p.metrics.hosts.Inc()
		w.Header().Set("Cache-Control", "no-store")
		answer(w, http.StatusOK, text)
	}
}
