package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"pushgate/internal/config"
	"pushgate/internal/ops"
	"pushgate/internal/testkit"
)

// edgeProgram is an edge that runs as its program does.
type edgeProgram struct {
	admin  string // address of its admin port
	log    *testkit.Buffer
	logger *slog.Logger
	end    func()       // makes it leave
	ended  <-chan error // its result
}

func startEdgeProgram(t *testing.T, cfg config.Edge) edgeProgram {
	t.Helper()
	level, log := new(slog.LevelVar), new(testkit.Buffer)
	ctx, end := context.WithCancel(t.Context())
	p := edgeProgram{log: log, logger: ops.NewLogger(log, "text", level), end: end}
	started, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- serve(ctx, cfg, level, p.logger, ops.NewRegistry(), func(b base) (ops.Service, error) {
			s, err := edgeService(cfg)(b)
			s.Started = func(_, admin net.Addr) { started <- admin.String() }
			return s, err
		})
	}()
	p.admin, p.ended = <-started, ended
	return p
}

// askAdmin makes a request with a token to an admin port. It uses no connection twice, so that none
// holds up the end of the program.
func askAdmin(t *testing.T, admin, token, method, path, body string) (status int, text string) {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), method, "http://"+admin+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return answer.StatusCode, string(all)
}
