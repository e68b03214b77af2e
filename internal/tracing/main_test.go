package tracing_test

import (
	"testing"

	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
