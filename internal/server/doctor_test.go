package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/doctor"
)

// TestOneExaminationAtATime: who asks while one is under way is refused; who asks soon after gets
// the same report, in any language; later there is a new one. One whose asker has gone is not kept.
func TestOneExaminationAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := 0
		e := &exams{run: func(ctx context.Context) (doctor.Report, error) {
			times++
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > examTime {
				t.Error("it is not bounded")
			}
			select {
			case <-time.After(5 * time.Second):
			case <-ctx.Done():
			}
			return doctor.Report{Findings: []doctor.Finding{{ID: "redis.version", Group: "redis", State: doctor.Error}}}, nil
		}}
		ask := func(ctx context.Context, query string) *httptest.ResponseRecorder {
			answer := httptest.NewRecorder()
			e.ServeHTTP(answer, httptest.NewRequest("GET", "/admin/doctor"+query, nil).WithContext(ctx))
			return answer
		}
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		ask(gone, "")
		var asking sync.WaitGroup
		for n := range 3 {
			asking.Go(func() {
				time.Sleep(time.Duration(n) * time.Second)
				answer := ask(t.Context(), "")
				if want := []int{http.StatusOK, http.StatusConflict, http.StatusConflict}[n]; answer.Code != want {
					t.Errorf("%d: %d %s", n, answer.Code, answer.Body)
				}
				if n > 0 && !strings.Contains(answer.Body.String(), `"error":"An examination is under way`) {
					t.Errorf("%s", answer.Body)
				}
			})
		}
		asking.Wait()
		if answer := ask(t.Context(), "?lang=ru"); answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "Установите Redis") || times != 2 {
			t.Errorf("%d %s, %d examinations", answer.Code, answer.Body, times)
		}
		time.Sleep(examKept)
		if ask(t.Context(), "?lang=en"); times != 3 {
			t.Errorf("%d examinations", times)
		}
		if answer := ask(t.Context(), "?lang=fr"); answer.Code != http.StatusBadRequest {
			t.Errorf("%d", answer.Code)
		}
	})
}

// stuckWriter is an answer whose reader does not read until read is closed.
type stuckWriter struct {
	*httptest.ResponseRecorder
	read chan struct{}
}

// Write implements [http.ResponseWriter].
func (w stuckWriter) Write(b []byte) (int, error) {
	<-w.read
	return w.ResponseRecorder.Write(b)
}

// TestSlowReaderKeepsNobodyOut: whoever takes no answer keeps nobody from the next examination.
func TestSlowReaderKeepsNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &exams{run: func(context.Context) (doctor.Report, error) { return doctor.Report{}, nil }}
		stuck := stuckWriter{httptest.NewRecorder(), make(chan struct{})}
		var asking sync.WaitGroup
		asking.Go(func() { e.ServeHTTP(stuck, httptest.NewRequest("GET", "/admin/doctor", nil)) })
		synctest.Wait()
		answer := httptest.NewRecorder()
		e.ServeHTTP(answer, httptest.NewRequest("GET", "/admin/doctor", nil))
		close(stuck.read)
		asking.Wait()
		if answer.Code != http.StatusOK || stuck.Code != http.StatusOK {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
	})
}
