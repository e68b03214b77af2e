package contain

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestRecover(t *testing.T) {
	var reported []string
	report := Report(func(where string, value any, stack []byte) {
		reported = append(reported, where+": "+value.(string))
		if !strings.Contains(string(stack), "TestRecover") {
			t.Errorf("the stack does not say where it was:\n%s", stack)
		}
	})
	ended := 0
	func() {
		defer report.Recover("quiet", func() { ended++ })
	}()
	func() {
		defer report.Recover("work", func() { ended++; panic("again") })
		panic("fault")
	}()
	if want := []string{"work: fault", "work: again"}; !slices.Equal(reported, want) || ended != 1 {
		t.Errorf("reported %q, ended %d times", reported, ended)
	}
}

func TestNilRecoversNothing(t *testing.T) {
	fault := errors.New("fault")
	defer func() {
		if v := recover(); v != fault {
			t.Errorf("recovered %v", v)
		}
	}()
	defer Report(nil).Recover("work", nil)
	panic(fault)
}

func BenchmarkRecover(b *testing.B) {
	report := Report(func(string, any, []byte) {})
	for b.Loop() {
		func() { defer report.Recover("work", nil) }()
	}
}
