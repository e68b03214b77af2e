// Package otlp sends spans to an OpenTelemetry collector: OTLP 1.x over HTTP, encoded as JSON.
//
// The exporter of the OpenTelemetry project imports gRPC even where it only speaks HTTP: an edge
// would have 26 MB with it, and has 15 MB.
package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// Header is a header of each request.
type Header struct{ Name, Value string }

// Exporter implements [sdk.SpanExporter]. It is safe for concurrent use.
type Exporter struct {
	// Immutable.
	url     string
	headers []Header
	client  *http.Client
}

// New returns an exporter that posts to a URL, such as http://127.0.0.1:4318/v1/traces.
func New(url string, headers []Header) *Exporter {
	return &Exporter{url: url, headers: headers, client: &http.Client{
		Transport: http.DefaultTransport.(*http.Transport).Clone(),
		// The headers may be secret, and another server must not get them.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// maxAnswer bounds what is read of an answer, in bytes, so that its connection can be used again.
const maxAnswer = 64 << 10

// ExportSpans implements [sdk.SpanExporter]: it sends spans in one request, within the time of ctx.
// An error means that the collector has not taken all of them.
func (e *Exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := json.Marshal(encode(spans))
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for _, h := range e.headers {
		r.Header.Set(h.Name, h.Value)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := e.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", e.url, err)
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", e.url, answer.Status)
	}
	var partial struct {
		PartialSuccess struct {
			RejectedSpans json.Number `json:"rejectedSpans"`
		} `json:"partialSuccess"`
	}
	// An answer that is no JSON says nothing of the kind.
	if json.Unmarshal(text, &partial) == nil && partial.PartialSuccess.RejectedSpans != "" && partial.PartialSuccess.RejectedSpans != "0" {
		return fmt.Errorf("%s rejected %s of %d spans", e.url, partial.PartialSuccess.RejectedSpans, len(spans))
	}
	return nil
}

// Shutdown implements [sdk.SpanExporter].
func (e *Exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}
