package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTraces: an endpoint without a path gets the usual one, headers are decoded as those of
// OpenTelemetry, and neither values nor wrong settings show what is secret.
func TestTraces(t *testing.T) {
	for endpoint, want := range map[string]string{"": "", "http://127.0.0.1:4318": "http://127.0.0.1:4318/v1/traces", "https://h/": "https://h/v1/traces", "https://h/otlp": "https://h/otlp"} {
		e, err := LoadEdge([]string{key, "PUSHGATE_TRACES_ENDPOINT=" + endpoint, "PUSHGATE_TRACES_HEADERS=authorization=Bearer%20Secret%2C=, x-org = a"})
		if err != nil {
			t.Fatal(err)
		}
		if string(e.TracesEndpoint) != want {
			t.Errorf("%q is %q, want %q", endpoint, e.TracesEndpoint, want)
		}
		if !slices.Equal(e.TracesHeaders, Headers{{"authorization", "Bearer Secret,="}, {"x-org", "a"}}) {
			t.Errorf("%d headers", len(e.TracesHeaders))
		}
		encoded, _ := json.Marshal(e.TracesHeaders)
		if text := fmt.Sprintf("%v %+v %#v %s", e.TracesHeaders, e.Common, e.TracesHeaders, e.TracesHeaders) + e.TracesHeaders.LogValue().String() + string(encoded); strings.Contains(text, "Secret") {
			t.Errorf("shown: %s", text)
		}
	}
	for variable, want := range map[string]string{
		"TRACES_ENDPOINT=127.0.0.1:4318":             "invalid URL",
		"TRACES_ENDPOINT=grpc://h:4317":              "the scheme is neither http nor https",
		"TRACES_ENDPOINT=http://:4318":               "there is no host",
		"TRACES_ENDPOINT=http://me:Secret@h":         "there is more than a host and a path",
		"TRACES_ENDPOINT=http://h/v1/traces?key=Sec": "there is more than a host and a path",
		"TRACES_HEADERS=Bearer Secret":               "header 1 is not a name",
		"TRACES_HEADERS=a=b,c d=Secret":              "header 2 is not a name",
		"TRACES_HEADERS=a=Secret%zz":                 "header 1 is not a name",
		"TRACES_HEADERS=a=Secret%0d%0ab":             "header 1 is not a name",
		"TRACES_RATIO=1.1":                           "1.1 is out of bounds (from 0 to 1)",
		"TRACES_RATIO=-0.1":                          "-0.1 is out of bounds",
		"TRACES_RATIO=NaN":                           "NaN is out of bounds",
		"TRACES_RATIO=1%":                            `invalid value "1%" (a number such as 0.01)`,
	} {
		_, err := LoadPublisher([]string{key, "PUSHGATE_" + variable})
		name, _, _ := strings.Cut(variable, "=")
		checkFault(t, variable, err, "PUSHGATE_"+name+": "+want)
		if err != nil && strings.Contains(err.Error(), "Sec") {
			t.Errorf("shown: %v", err)
		}
	}
}
