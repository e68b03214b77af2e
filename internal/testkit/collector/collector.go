// Package collector stands in for an OpenTelemetry collector: it takes traces by OTLP over HTTP, as
// JSON.
package collector

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Collector holds the spans that were posted to it. Its methods may be called concurrently.
type Collector struct {
	URL string // where to post

	mu     sync.Mutex
	spans  []Span
	header http.Header
	bodies []byte
}

// Span is one span as it came.
type Span struct {
	Resource              map[string]any // attributes of the process
	Trace, ID, Parent     string         // hexadecimal
	Flags                 uint32
	Name                  string
	Kind                  int
	Start, End            time.Time
	Attributes            map[string]any
	LinkedTrace, LinkedID string // of its link, if it has one
	Status                int    // 2 is an error
	Message               string // of the status
}

// request is what a collector reads, by opentelemetry-proto and the rules for its JSON.
type request struct {
	ResourceSpans []struct {
		Resource   struct{ Attributes []attribute }
		ScopeSpans []struct {
			Scope struct{ Name string }
			Spans []struct {
				TraceID, SpanID, ParentSpanID      string
				Flags                              uint32
				Name                               string
				Kind                               int
				StartTimeUnixNano, EndTimeUnixNano string
				Attributes                         []attribute
				Links                              []struct {
					TraceID, SpanID string
					Flags           uint32
				}
				Status struct {
					Code    int
					Message string
				}
			}
		}
	}
}

type attribute struct {
	Key   string
	Value struct {
		StringValue *string
		BoolValue   *bool
		IntValue    *string
		DoubleValue *float64
	}
}

// Start starts a collector that ends with the test. It fails the test for a request that is not as
// it should be.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := new(Collector)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s of type %q", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		if err := c.take(r); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"partialSuccess":{}}`)
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL + "/v1/traces"
	return c
}

func (c *Collector) take(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header, c.bodies = r.Header, append(c.bodies, body...)
	var posted request
	// The decoder of this library matches names without regard to their case, which stands for
	// nothing here: the test of package otlp compares the text.
	if err := json.Unmarshal(body, &posted); err != nil {
		return err
	}
	for _, resource := range posted.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				span := Span{Resource: values(resource.Resource.Attributes), Trace: s.TraceID, ID: s.SpanID, Parent: s.ParentSpanID, Flags: s.Flags, Name: s.Name, Kind: s.Kind,
					Start: at(s.StartTimeUnixNano), End: at(s.EndTimeUnixNano), Attributes: values(s.Attributes), Status: s.Status.Code, Message: s.Status.Message}
				if len(s.Links) > 0 {
					span.LinkedTrace, span.LinkedID = s.Links[0].TraceID, s.Links[0].SpanID
				}
				c.spans = append(c.spans, span)
			}
		}
	}
	return nil
}

func at(nanoseconds string) time.Time {
	n, _ := strconv.ParseInt(nanoseconds, 10, 64) // 0 is noticed
	return time.Unix(0, n)
}

func values(all []attribute) map[string]any {
	out := make(map[string]any)
	for _, a := range all {
		switch v := a.Value; {
		case v.StringValue != nil:
			out[a.Key] = *v.StringValue
		case v.BoolValue != nil:
			out[a.Key] = *v.BoolValue
		case v.IntValue != nil:
			out[a.Key], _ = strconv.Atoi(*v.IntValue)
		case v.DoubleValue != nil:
			out[a.Key] = *v.DoubleValue
		}
	}
	return out
}

// Spans returns what has come, of one name, or of all names if it is empty.
func (c *Collector) Spans(name string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s Span) bool { return name != "" && s.Name != name })
}

// Text returns the bodies of all requests.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.bodies)
}

// Header returns the headers of the last request.
func (c *Collector) Header() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.header
}
