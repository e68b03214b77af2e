package otlp

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The types of a request (opentelemetry-proto, ExportTraceServiceRequest), as far as they are used.
// In JSON, ids are hexadecimal, enumerations are numbers, and 64-bit numbers are strings.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []keyValue `json:"attributes,omitempty"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name string `json:"name"`
	}
	span struct {
		TraceID      string         `json:"traceId"`
		SpanID       string         `json:"spanId"`
		ParentSpanID string         `json:"parentSpanId,omitempty"`
		Flags        uint32         `json:"flags"`
		Name         string         `json:"name"`
		Kind         trace.SpanKind `json:"kind"` // the numbers of the API are those of the wire
		Start        string         `json:"startTimeUnixNano"`
		End          string         `json:"endTimeUnixNano"`
		Attributes   []keyValue     `json:"attributes,omitempty"`
		Links        []link         `json:"links,omitempty"`
		Status       status         `json:"status"`
	}
	link struct {
		TraceID string `json:"traceId"`
		SpanID  string `json:"spanId"`
		Flags   uint32 `json:"flags"`
	}
	status struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code,omitempty"`
	}
	keyValue struct {
		Key   string   `json:"key"`
		Value anyValue `json:"value"`
	}
	anyValue struct {
		String *string  `json:"stringValue,omitempty"`
		Bool   *bool    `json:"boolValue,omitempty"`
		Int    *string  `json:"intValue,omitempty"`
		Double *float64 `json:"doubleValue,omitempty"`
	}
)

const statusError = 2

// encode returns the request for spans of one process.
func encode(spans []sdk.ReadOnlySpan) request {
	encoded := make([]span, len(spans))
	for i, s := range spans {
		encoded[i] = encodeSpan(s)
	}
	first := spans[0]
	return request{[]resourceSpans{{
		Resource:   resource{keyValues(first.Resource().Attributes())},
		ScopeSpans: []scopeSpans{{scope{first.InstrumentationScope().Name}, encoded}},
	}}}
}

func encodeSpan(s sdk.ReadOnlySpan) span {
	of, parent := s.SpanContext(), s.Parent()
	out := span{
		TraceID:    of.TraceID().String(),
		SpanID:     of.SpanID().String(),
		Flags:      flags(of, parent),
		Name:       s.Name(),
		Kind:       s.SpanKind(),
		Start:      nanoseconds(s.StartTime()),
		End:        nanoseconds(s.EndTime()),
		Attributes: keyValues(s.Attributes()),
	}
	if parent.HasSpanID() {
		out.ParentSpanID = parent.SpanID().String()
	}
	for _, l := range s.Links() {
		out.Links = append(out.Links, link{l.SpanContext.TraceID().String(), l.SpanContext.SpanID().String(), flags(l.SpanContext, l.SpanContext)})
	}
	if s.Status().Code == codes.Error {
		out.Status = status{s.Status().Description, statusError}
	}
	return out
}

// The bits of flags above the trace flags say whether other, the parent or the linked span, is of
// another process.
const (
	knowsRemote = 1 << 8
	isRemote    = 1 << 9
)

func flags(of, other trace.SpanContext) uint32 {
	f := uint32(of.TraceFlags()) | knowsRemote
	if other.IsRemote() {
		f |= isRemote
	}
	return f
}

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func keyValues(all []attribute.KeyValue) []keyValue {
	out := make([]keyValue, len(all))
	for i, a := range all {
		out[i] = keyValue{string(a.Key), value(a.Value)}
	}
	return out
}

func value(v attribute.Value) (out anyValue) {
	switch v.Type() {
	case attribute.BOOL:
		b := v.AsBool()
		out.Bool = &b
	case attribute.INT64:
		s := strconv.FormatInt(v.AsInt64(), 10)
		out.Int = &s
	case attribute.FLOAT64:
		f := v.AsFloat64()
		out.Double = &f
	default:
		s := v.String()
		out.String = &s
	}
	return out
}
