package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the longest duration that a histogram distinguishes from longer ones.
const longest = time.Hour

// histogram counts durations with an error of less than one percent. The zero histogram is empty.
type histogram struct {
	counts   *hdrhistogram.Histogram // of nanoseconds; nil if there are none
	sum      time.Duration
	greatest time.Duration
}

// add counts a duration. One below zero counts as zero.
func (h *histogram) add(d time.Duration) {
	if h.counts == nil {
		h.counts = hdrhistogram.New(1, int64(longest), 2)
	}
	d = max(d, 0)
	_ = h.counts.RecordValue(int64(min(d, longest))) // fails only for values out of bounds
	h.sum += d
	h.greatest = max(h.greatest, d)
}

func (h *histogram) total() uint64 {
	if h.counts == nil {
		return 0
	}
	return uint64(h.counts.TotalCount())
}

// quantile returns the value that a share q of all values does not exceed, 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total() == 0 {
		return 0
	}
	return min(time.Duration(h.counts.ValueAtQuantile(100*q)), h.greatest)
}

// reset forgets everything, but keeps its memory.
func (h *histogram) reset() {
	if h.counts != nil {
		h.counts.Reset()
	}
	*h = histogram{counts: h.counts}
}

// Summary describes many durations, in milliseconds.
type Summary struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

func (h *histogram) summary() Summary {
	s := Summary{Count: h.total(), P50: ms(h.quantile(0.5)), P90: ms(h.quantile(0.9)), P99: ms(h.quantile(0.99)), P999: ms(h.quantile(0.999)), Max: ms(h.greatest)}
	if h.total() > 0 {
		s.Mean = ms(h.sum) / float64(h.total())
	}
	return s
}

// Point is one of a curve: the share of all values that do not exceed a duration.
type Point struct {
	Share float64 `json:"share"`
	Ms    float64 `json:"ms"`
}

// curve returns the distribution for a plot, finer towards its end.
func (h *histogram) curve() []Point {
	if h.total() == 0 {
		return nil
	}
	var points []Point
	for rest := 1.0; rest > 1/float64(h.total()) && rest > 1e-6; rest /= 1.25 {
		points = append(points, Point{1 - rest, ms(h.quantile(1 - rest))})
	}
	return append(points, Point{1, ms(h.greatest)})
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
