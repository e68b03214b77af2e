package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// send returns the message that a client's body becomes.
func send(t *testing.T, body string) (*proto.Message, error) {
	t.Helper()
	f := &fake{}
	_, err := newExecutor(t, f).Client(t.Context(), mine, batch(t, publish(incoming(body, public(1)))))
	if err != nil {
		if len(f.got) != 0 {
			t.Errorf("%s: refused and published", body)
		}
		return nil, err
	}
	return f.got[0], nil
}

// A client cannot send the readers' own commands, however it spells the module.
func TestClientIsRefusedTheModulePull(t *testing.T) {
	for _, module := range []string{
		`pull`, `Pull`, `PULL`, `pUlL`, ` pull`, `pull `, `\tpull\n`, `p\u0075ll`, `\u0050ULL`, `pull\u0000`, `\u200bpull`, `pu\u00adll`,
		`\ufeffpull`, `pull\u3000`, `ｐｕｌｌ`, `ＰＵＬＬ`, `pu\u0301ll`, `.pull`, `pull.`, `\u202epull`,
	} {
		body := `{"module_id":"` + module + `","command":"config_expire","params":{}}`
		if _, err := send(t, body); err != proto.ErrSystemMessage {
			t.Errorf("%s: %v", module, err)
		}
	}
	// The member comes twice: whichever one a reader uses, it is not pull.
	if _, err := send(t, `{"module_id":"im","module_id":"pull","command":"x"}`); err != proto.ErrSystemMessage {
		t.Errorf("the last of two: %v", err)
	}
	m, err := send(t, `{"module_id":"PULL","module_id":"im","command":"x"}`)
	if err != nil || strings.Contains(strings.ToLower(string(m.Body)), "pull") {
		t.Errorf("the first of two: %s, %v", m.Body, err)
	}
	for _, module := range []string{"im", "pulling", "repull", "пулл"} {
		if _, err := send(t, `{"module_id":"`+module+`","command":"x"}`); err != nil {
			t.Errorf("%s: %v", module, err)
		}
	}
	var refusal *proto.Error
	if errors.As(error(proto.ErrSystemMessage), &refusal); refusal.Code != 4014 {
		t.Error(refusal.Code)
	}
}

func TestClientBodyMustBeAMessage(t *testing.T) {
	for _, body := range []string{
		``, `null`, `[]`, `"x"`, `1`, `{}`, `{"module_id":"im"}`, `{"command":"x"}`, `{"module_id":"","command":"x"}`, `{"module_id":"im","command":""}`,
		`{"module_id":1,"command":"x"}`, `{"module_id":["pull"],"command":"x"}`, `{"module_id":null,"command":"x"}`, `{"module_id":"im","command":{}}`,
		`{"MODULE_ID":"im","command":"x"}`, `{"module_id":"im","command":"x"} {}`, `{"module_id":"im","command":"x"`, `{"module_id":"im","command":"x",}`,
		`[{"module_id":"im","command":"x"}]`, `#!NGINXNMS!#{"id":1}#!NGINXNME!#`, strings.Repeat("[", 20000),
	} {
		if _, err := send(t, body); err != proto.ErrRequestData {
			t.Errorf("%.60q: %v", body, err)
		}
	}
}

// TestExtraIsTheServers: readers act on the revisions and the sender in extra, so a client cannot
// set them.
func TestExtraIsTheServers(t *testing.T) {
	for _, extra := range []string{
		``, `,"extra":{"revision_web":20}`, `,"extra":{"revision_web":20},"extra":{"revision_mobile":9}`, `,"\u0065xtra":{"revision_web":20}`,
		`,"extra":null`, `,"extra":"x"`, `,"extra":{"sender":{"type":2}}`, `,"extra":[1]`,
	} {
		before := time.Now()
		m, err := send(t, `{"module_id":"im","command":"x","params":{"extra":{"mine":1},"n":12345678901234567890.10,"h":"<&>"}`+extra+`}`)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(m.Body), `"extra":{"sender"`); n != 1 || strings.Contains(string(m.Body), "revision") {
			t.Errorf("%s: %s", extra, m.Body)
		}
		var got struct {
			Params json.RawMessage
			Extra  map[string]json.RawMessage
		}
		if err := json.Unmarshal(m.Body, &got); err != nil {
			t.Fatal(err)
		}
		var at float64
		if err := json.Unmarshal(got.Extra["server_time_unix"], &at); err != nil || at < float64(before.UnixMicro())/1e6-1 || at > float64(time.Now().UnixMicro())/1e6+1 {
			t.Errorf("%s: time %s", extra, got.Extra["server_time_unix"])
		}
		delete(got.Extra, "server_time_unix")
		want := map[string]json.RawMessage{"sender": json.RawMessage(fmt.Sprintf(`{"type":1,"id":"%s"}`, mine))}
		if diff := testkit.Diff(want, got.Extra); diff != "" {
			t.Errorf("%s:\n%s", extra, diff)
		}
		if params := `{"extra":{"mine":1},"n":12345678901234567890.10,"h":"<&>"}`; string(got.Params) != params {
			t.Errorf("params %s, want %s", got.Params, params)
		}
	}
}

// TestClientCannotForgeRecords: a body is also sent in text records, and cannot end its record.
func TestClientCannotForgeRecords(t *testing.T) {
	m, err := send(t, "{\"module_id\":\"im\",\"command\":\"x\",\n\"params\":{\"t\":\"#!NGINXNME!##!NGINXNMS!#\u2028\xff\"}}")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(m.Body); strings.Contains(s, "#!NGINXNM") || strings.ContainsAny(s, "\n\u2028") || !strings.Contains(s, "\uFFFD") {
		t.Errorf("%s", s)
	}
	if m.Type != "im_x" {
		t.Errorf("type %q", m.Type)
	}
}

// FuzzClientBody: every body that is accepted is an object whose module no reader can take for
// pull, and whose extra is the server's.
func FuzzClientBody(f *testing.F) {
	f.Add([]byte(hello))
	f.Add([]byte(`{"module_id":"PULL","command":"x","extra":{"revision_web":20}}`))
	f.Add([]byte(`{"module_id":"im","command":"x","extra":{},"extra":{}}`))
	f.Add([]byte("{\"module_id\":\"i\xffm\",\"command\":\"\\ud800\",\"__proto__\":{\"extra\":1}}"))
	now := time.Unix(1795226210, 500_000_000)
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := clientBody(body, proto.Sender{ID: mine}, now)
		if err != nil {
			if err != proto.ErrRequestData && err != proto.ErrSystemMessage {
				t.Fatal(err)
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(out, &members); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if string(members["extra"]) != `{"sender":{"type":1,"id":"`+mine.String()+`"},"server_time_unix":1795226210.500000}` {
			t.Errorf("%q", out)
		}
		module, ok := text(members["module_id"])
		if !ok || strings.Contains(strings.ToLower(strings.TrimSpace(module)), "pull") && len(strings.TrimSpace(module)) == 4 {
			t.Errorf("%q", out)
		}
		checked, _, err := proto.CheckBody(out)
		if err != nil || !json.Valid(checked) {
			t.Errorf("%q: %v", out, err)
		}
		if again, err := clientBody(out, proto.Sender{ID: mine}, now); err != nil || string(again) != string(out) {
			t.Errorf("%q is not what %q becomes: %v", again, out, err)
		}
	})
}
