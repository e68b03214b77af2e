package console

import (
	"encoding/json"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pushgate/internal/testkit"
)

// categories are the plural forms of each language.
var categories = map[string][]string{"en": {"one", "other"}, "ru": {"few", "many", "one", "other"}}

// dictionary returns the words of a language: each a text, or the forms of a plural.
func dictionary(t *testing.T, lang string) map[string]any {
	t.Helper()
	text, err := fs.ReadFile(load().files, "lang/"+lang+".js")
	if err != nil {
		t.Fatal(err)
	}
	body, begins := strings.CutPrefix(string(text), "export default ")
	var words map[string]any
	if err := json.Unmarshal([]byte(strings.TrimSuffix(strings.TrimSpace(body), ";")), &words); err != nil || !begins {
		t.Fatalf("lang/%s.js: %v", lang, err)
	}
	return words
}

var place = regexp.MustCompile(`\{\w+\}`)

// places returns what is to be filled in in a text, or in the last form of a plural.
func places(word any) []string {
	text, ok := word.(string)
	if forms, plural := word.(map[string]any); plural {
		text, ok = forms["other"].(string)
	}
	if !ok {
		return nil
	}
	all := place.FindAllString(text, -1)
	slices.Sort(all)
	return slices.Compact(all)
}

// TestBothLanguages: both have the same words, with the same things filled in, and all forms of a
// plural.
func TestBothLanguages(t *testing.T) {
	en, ru := dictionary(t, "en"), dictionary(t, "ru")
	if diff := testkit.Diff(slices.Sorted(maps.Keys(en)), slices.Sorted(maps.Keys(ru))); diff != "" {
		t.Fatalf("the keys differ:\n%s", diff)
	}
	for key := range en {
		if diff := testkit.Diff(places(en[key]), places(ru[key])); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
		for lang, words := range map[string]map[string]any{"en": en, "ru": ru} {
			if forms, plural := words[key].(map[string]any); plural && !slices.Equal(slices.Sorted(maps.Keys(forms)), categories[lang]) {
				t.Errorf("%s in %s has the forms %v", key, lang, slices.Sorted(maps.Keys(forms)))
			}
		}
		if text, ok := ru[key].(string); ok && text == en[key] && regexp.MustCompile(`[A-Za-z]{4,}`).MatchString(text) && !same[text] {
			t.Errorf("%s is not translated: %s", key, text)
		}
	}
}

// same are texts that are the same in both languages.
var same = map[string]bool{"WebSocket": true, "Redis": true, "nginx": true}

var (
	used  = regexp.MustCompile(`\b(?:t|known)\(\s*(?:[^"()]*\? )?"([a-z_0-9.-]+)"(?: : "([a-z_0-9.-]+)")?[,)]`)
	built = regexp.MustCompile(`\b(?:t|known)\("([a-z_0-9.-]+\.?)" \+`)
	key   = regexp.MustCompile(`"([a-z]+\.[a-z_0-9.-]+)"`)
)

// TestWordsAreThere: what the scripts ask for is in the dictionaries, and nothing else is.
func TestWordsAreThere(t *testing.T) {
	words := dictionary(t, "en")
	mentioned := map[string]bool{}
	var starts []string
	ours(t, func(name, text string) {
		if !strings.HasPrefix(name, "js/") {
			return
		}
		for _, match := range used.FindAllStringSubmatch(text, -1) {
			for _, key := range match[1:] {
				if key != "" && words[key] == nil {
					t.Errorf("%s asks for %s", name, key)
				}
			}
		}
		for _, match := range key.FindAllStringSubmatch(text, -1) {
			mentioned[match[1]] = true
		}
		for _, match := range built.FindAllStringSubmatch(text, -1) {
			starts = append(starts, match[1])
		}
	})
	// Built of a name and an ending, or chosen in another way.
	starts = append(starts, "series.", "chart.", "problem.", "unit.bytes", "trace.", "explain.state.", "explain.sender.", "explain.outcome.", "limit.")
	for key := range words {
		if !mentioned[key] && !slices.ContainsFunc(starts, func(start string) bool { return strings.HasPrefix(key, start) }) {
			t.Errorf("nothing asks for %s", key)
		}
	}
	if len(mentioned) < 100 {
		t.Errorf("%d words are asked for", len(mentioned))
	}
}
