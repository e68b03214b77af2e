package load

import (
	"math"
	"math/bits"
	"time"
)

// stepBits says how fine a histogram is: each power of two has 2^stepBits steps, so that a value is
// known to about 1.6 %.
const stepBits = 6

// histogram counts durations in steps that grow with them. The zero histogram is empty.
type histogram struct {
	counts   []uint64
	total    uint64
	sum      time.Duration
	greatest time.Duration
}

// add notes a duration. One below zero counts as zero.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	i := step(uint64(d))
	for i >= len(h.counts) {
		h.counts = append(h.counts, make([]uint64, 1<<stepBits)...)
	}
	h.counts[i]++
	h.total++
	h.sum += d
	h.greatest = max(h.greatest, d)
}

// step returns the index of the step of n.
func step(n uint64) int {
	shift := max(bits.Len64(n)-1-stepBits, 0)
	return shift<<stepBits + int(n>>shift)
}

// stepEnd returns the largest value of a step.
func stepEnd(i int) uint64 {
	shift := max(i>>stepBits-1, 0)
	return uint64(i-shift<<stepBits+1)<<shift - 1
}

// quantile returns the value that a share q of all values does not exceed, 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.total)))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= max(rank, 1) {
			return min(time.Duration(stepEnd(i)), h.greatest)
		}
	}
	return 0
}

// reset forgets everything, but keeps its memory.
func (h *histogram) reset() {
	clear(h.counts)
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
	s := Summary{Count: h.total, P50: ms(h.quantile(0.5)), P90: ms(h.quantile(0.9)), P99: ms(h.quantile(0.99)), P999: ms(h.quantile(0.999)), Max: ms(h.greatest)}
	if h.total > 0 {
		s.Mean = ms(h.sum) / float64(h.total)
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
	if h.total == 0 {
		return nil
	}
	var points []Point
	for rest := 1.0; rest > 1/float64(h.total) && rest > 1e-6; rest /= 1.25 {
		points = append(points, Point{1 - rest, ms(h.quantile(1 - rest))})
	}
	return append(points, Point{1, ms(h.greatest)})
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
