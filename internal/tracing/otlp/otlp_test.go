package otlp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"pushgate/internal/testkit"
	"pushgate/internal/testkit/collector"
	"pushgate/internal/tracing/otlp"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func contextOf(traceID, spanID byte, remote bool) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: traceID}, SpanID: trace.SpanID{7: spanID}, TraceFlags: trace.FlagsSampled, Remote: remote})
}

// spans are two spans with everything that is sent.
func spans() []sdk.ReadOnlySpan {
	began := time.Unix(1795226210, 759000001)
	of := resource.NewSchemaless(attribute.String("service.name", "pushgate"))
	scope := instrumentation.Scope{Name: "pushgate"}
	return tracetest.SpanStubs{
		{Name: "hear", SpanContext: contextOf(1, 3, false), Parent: contextOf(1, 2, true), SpanKind: trace.SpanKindConsumer, StartTime: began, EndTime: began.Add(time.Second),
			Attributes: []attribute.KeyValue{attribute.Int("i", 9007199254740993), attribute.Float64("f", 0.5), attribute.Bool("b", true), attribute.String("s", `"<&>`)},
			Status:     sdk.Status{Code: codes.Error, Description: "busy"}, Resource: of, InstrumentationScope: scope},
		{Name: "replay", SpanContext: contextOf(2, 4, false), SpanKind: trace.SpanKindInternal, StartTime: began, EndTime: began,
			Links: []sdk.Link{{SpanContext: contextOf(1, 2, true)}}, Resource: of, InstrumentationScope: scope},
	}.Snapshots()
}

// want is the request for spans, written by hand from the rules of OTLP for JSON.
const want = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pushgate"}}]},"scopeSpans":[{"scope":{"name":"pushgate"},"spans":[
{"traceId":"00000000000000000000000000000001","spanId":"0000000000000003","parentSpanId":"0000000000000002","flags":769,"name":"hear","kind":5,
"startTimeUnixNano":"1795226210759000001","endTimeUnixNano":"1795226211759000001","attributes":[{"key":"i","value":{"intValue":"9007199254740993"}},
{"key":"f","value":{"doubleValue":0.5}},{"key":"b","value":{"boolValue":true}},{"key":"s","value":{"stringValue":"\"<&>"}}],"status":{"message":"busy","code":2}},
{"traceId":"00000000000000000000000000000002","spanId":"0000000000000004","flags":257,"name":"replay","kind":1,
"startTimeUnixNano":"1795226210759000001","endTimeUnixNano":"1795226210759000001",
"links":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000002","flags":769}],"status":{}}]}]}]}`

// TestRequest: a request is byte for byte, but for white space and escapes, what OTLP demands, with
// the headers that were set.
func TestRequest(t *testing.T) {
	c := collector.Start(t)
	e := otlp.New(c.URL, []otlp.Header{{Name: "Authorization", Value: "Bearer x"}})
	defer e.Shutdown(t.Context())
	if err := e.ExportSpans(t.Context(), spans()); err != nil {
		t.Fatal(err)
	}
	var got, wanted any
	if err := json.Unmarshal([]byte(c.Text()), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	gotText, _ := json.Marshal(got)
	wantText, _ := json.Marshal(wanted)
	if diff := testkit.Diff(string(wantText), string(gotText)); diff != "" {
		t.Error(diff)
	}
	if auth := c.Header().Get("Authorization"); auth != "Bearer x" {
		t.Errorf("Authorization: %q", auth)
	}
}

// TestRefusals: whatever is not a success is an error, without the headers; a redirect is not
// followed, as the headers may be secret.
func TestRefusals(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed a redirect") }))
	defer other.Close()
	for name, c := range map[string]struct {
		status         int
		header, answer string
		error          string
	}{
		"taken":     {200, "", `{"partialSuccess":{}}`, ""},
		"no json":   {202, "", "thanks", ""},
		"in part":   {200, "", `{"partialSuccess":{"rejectedSpans":"1"}}`, "rejected 1 of 2 spans"},
		"redirect":  {307, other.URL, "", "307"},
		"too many":  {429, "", "", "429"},
		"wrong key": {401, "", "", "401"},
		"broken":    {500, "", strings.Repeat("x", 1<<20), "500"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.header != "" {
				w.Header().Set("Location", c.header)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		}))
		e := otlp.New(server.URL, []otlp.Header{{Name: "key", Value: "secret"}})
		err := e.ExportSpans(t.Context(), spans())
		switch {
		case err == nil && c.error != "", err != nil && (c.error == "" || !strings.Contains(err.Error(), c.error) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: %v", name, err)
		}
		_ = e.Shutdown(t.Context())
		server.Close()
	}
}

// TestHangingServer: an export ends with its context.
func TestHangingServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the end of the connection is noticed
		<-r.Context().Done()
	}))
	defer server.Close()
	e := otlp.New(server.URL, nil)
	defer e.Shutdown(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := e.ExportSpans(ctx, spans()); err == nil {
		t.Error("no error")
	}
}
