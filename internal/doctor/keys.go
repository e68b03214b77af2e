package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"pushgate/internal/channel"
	"pushgate/internal/config"
	"pushgate/internal/sign"
)

var keyIDs = []string{"keys.settings", "keys.short", "keys.sample", "keys.algorithm", "keys.encoding"}

const (
	maxSample      = 64 << 10 // bytes
	maxSampleParts = 100
)

// keys checks the settings of the programs and the keys of the portals, and finds out which key
// made a sample.
func (e *exam) keys(_ context.Context, s *sheet) {
	if e.portals == nil {
		var faults config.Faults
		if !errors.As(e.portalWhy, &faults) {
			faults = config.Faults{{Variable: config.Prefix + "PORTALS", Problem: e.portalWhy.Error()}}
		}
		for _, f := range faults {
			s.add("keys.settings", Error, strings.TrimSpace(fmt.Sprintf("%s: %s (%s)", f.Variable, f.Problem, f.Hint)))
		}
		s.unknown(noSettings, "", keyIDs...)
		return
	}
	s.add("keys.settings", OK)
	s.check("keys.short", e.portals.ShortKeys() > 0, Warning, fmt.Sprintf("< %d: %d", config.MinKey, e.portals.ShortKeys()))
	if e.Sample == "" {
		s.unknown(noSample, "", keyIDs...)
		return
	}
	found := 0
	for _, p := range e.portals.All() {
		for _, m := range e.matches(p.Signer) {
			found++
			saw := fmt.Sprintf("%s: key %d, %s", p.Name(), m.Key, m.Algorithm)
			s.add("keys.sample", OK, saw)
			s.check("keys.algorithm", !m.Own, Error, saw+", "+config.Prefix+"SIGNATURE_ALGO="+e.settings.SignatureAlgo)
			s.check("keys.encoding", m.Encoding != "", Error, strings.TrimSpace(saw+" "+m.Encoding))
		}
	}
	if found == 0 {
		s.add("keys.sample", Error, fmt.Sprintf("%s=%s", config.Prefix+"SIGNATURE_ALGO", e.settings.SignatureAlgo))
		s.unknown(noKey, "", keyIDs...)
	}
}

// matches returns how the signatures of the sample were made, of those that keys of a portal made.
func (e *exam) matches(signer *sign.Signer) (all []sign.Match) {
	sample := strings.TrimSpace(e.Sample[:min(len(e.Sample), maxSample)])
	if e.Body != nil {
		if m, ok := signer.MatchBody(e.Body, parameter(sample, "signature")); ok {
			all = append(all, m)
		}
		return all
	}
	refs, err := channel.Alphanumeric.ParseList(parameter(sample, "CHANNEL_ID"), maxSampleParts)
	if err != nil {
		refs, err = channel.Hex.ParseList(parameter(sample, "CHANNEL_ID"), maxSampleParts)
	}
	if err != nil {
		return nil
	}
	for _, ref := range refs {
		if m, ok := signer.MatchRef(ref); ok {
			all = append(all, m)
		}
	}
	return all
}

// parameter returns a parameter of the query of a URL, or a text that is no URL as it is.
func parameter(text, name string) string {
	if _, query, ok := strings.Cut(text, "?"); ok {
		text = query
	}
	if strings.Contains(text, name+"=") {
		if values, err := url.ParseQuery(text); err == nil {
			return values.Get(name)
		}
	}
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}
