package adopt

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"pushgate/internal/config"
)

// unfit says why a key must be replaced, empty if it need not.
func (s *survey) unfit(key string) string {
	if where := config.PublishedWhere([]byte(key)); where != "" {
		return "it is published " + where
	}
	if len(key) < config.MinKey {
		return fmt.Sprintf("it has %d bytes, fewer than %d", len(key), config.MinKey)
	}
	if strings.ContainsFunc(key, unicode.IsControl) {
		return "it has a line break or another control character, behind which a file of variables could have more of them"
	}
	if s.kind != machine && strings.ContainsAny(key, ",'\"\\$#` \t") || key != strings.TrimSpace(key) {
		return "it has a comma, a quotation mark or another character that environment variables of containers cannot hold safely"
	}
	return ""
}

// judgeKeys notes keys that cannot stay, once each.
func (s *survey) judgeKeys() {
	all := append([]secret{}, s.keys...)
	for _, p := range s.portals {
		all = append(all, p.options["signature_key"])
	}
	seen := map[string]bool{}
	for _, key := range all {
		if why := s.unfit(key.value); key.value != "" && why != "" && !seen[key.value] {
			seen[key.value] = true
			s.wrong(key.at, "the signature key must be replaced: "+why, "who knows it can read every user's messages, and post to everybody",
				"a new key of 40 letters, which this plan writes. It must be changed in the portal at the same time (option signature_key)")
		}
	}
}

// newKey makes a key of 40 letters and digits.
func newKey(random io.Reader) (string, error) {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
	key := make([]byte, 0, 40)
	for raw := make([]byte, 1); len(key) < cap(key); {
		if _, err := io.ReadFull(random, raw); err != nil {
			return "", fmt.Errorf("a new key: %w", err)
		}
		if int(raw[0]) < 256-256%len(letters) { // so that all letters are equally likely
			key = append(key, letters[int(raw[0])%len(letters)])
		}
	}
	return string(key), nil
}
