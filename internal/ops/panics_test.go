package ops

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestPanics(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	registry := prometheus.NewRegistry()
	for _, value := range []any{"a text", errors.New("a secret")} {
		func() {
			defer Panics(registry, logger).Recover("deliver", nil)
			panic(value)
		}()
	}
	for _, want := range []string{"panic=\"a text\"", "panic=*errors.errorString", "where=deliver", "TestPanics"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(log.String(), "a secret") {
		t.Error("the log shows an error that may hold a secret")
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "pushgate_panics_total" ||
		families[0].GetMetric()[0].GetCounter().GetValue() != 2 {
		t.Errorf("%v, %v", families, err)
	}
}
