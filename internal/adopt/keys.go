package adopt

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"pushgate/internal/config"
)

// published are keys that everybody can read in a public project, by their SHA-256.
var published = map[string]string{
	"ba0d8ec8e12a40083ef829275d23406ac7f8e7f23791d6a83f84db453a5da07c": "it is the default of a public image",
	"a2c96d518f1099a3b6afe29e443340f9f5fdf1289853fc034908444f2bcb8982": "it is the example of several public projects",
	"2a5fab9001302f65feb448faed369e40063e0845db4ad9ded97f49c2e36043a1": "it is the placeholder of a public project",
	"d13d21e4a88a523d8b6ce8d0e4ef7580f5a701ec888097b1025ddb9717b76ce5": "it is in the repository of a public project",
}

// unfit says why a key must be replaced, empty if it need not.
func (s *survey) unfit(key string) string {
	digest := sha256.Sum256([]byte(key))
	if where, ok := published[hex.EncodeToString(digest[:])]; ok {
		return "everybody knows it, " + where
	}
	if len(key) < config.MinKey {
		return fmt.Sprintf("it has %d bytes, fewer than %d", len(key), config.MinKey)
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
