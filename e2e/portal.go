package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/wire/pb"
)

// Portal is one portal of a [World]. It signs, and posts like portals of every generation.
type Portal struct {
	ClientID string // empty if it has the installation for itself
	HostID   string
	Licence  string       // key, of which the service knows a digest; empty as above
	Keys     []string     // the first signs, all of them verify
	Signer   *sign.Signer // with the key that it had first
	// A post that is answered 503 is repeated, with the same idempotency key: on a busy machine
	// Redis may be late.
	Repeats bool
	PubPath string // the path of path_to_publish; "/bitrix/pub/" if empty

	world *World
}

// newPortal makes the personal portal, or one of several.
func newPortal(w *World, number int) (*Portal, error) {
	p := &Portal{HostID: "HostIdOfThePersonalPortal0123456", Keys: []string{Key}, world: w}
	if number > 0 {
		p.Licence = fmt.Sprintf("licence-of-portal-%d", number)
		id := md5.Sum([]byte("BITRIX" + p.Licence + "LICENCE"))
		p.ClientID, p.Keys[0] = hex.EncodeToString(id[:]), fmt.Sprintf("%s: portal %d", Key, number)
		p.HostID = fmt.Sprintf("HostIdOfPortal%018d", number)
	}
	var err error
	p.Signer, err = sign.New("sha1", []byte(p.Keys[0]))
	return p, err
}

// writePortals writes the file of several portals in one step, and returns its path.
func writePortals(dir string, portals []*Portal) (path string, err error) {
	type limits struct {
		Payload     int `json:"payload"`
		Messages    int `json:"messages"`
		Channels    int `json:"channels"`
		Connections int `json:"connections"`
	}
	type entry struct {
		ClientID string   `json:"client_id"`
		Keys     []string `json:"keys"`
		HostID   string   `json:"host_id"`
		Licence  string   `json:"licence"`
		Limits   limits   `json:"limits"`
	}
	var file struct {
		Portals []entry `json:"portals"`
	}
	for _, p := range portals {
		digest := md5.Sum([]byte(p.Licence))
		file.Portals = append(file.Portals, entry{p.ClientID, p.Keys, p.HostID, hex.EncodeToString(digest[:]), limits{1 << 20, 100, 100, 100}})
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "portals.json")
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// ChangeKeys puts a new key before the old one of each portal, makes the programs read the file,
// and returns when all of them have done so. It is for a world of several portals.
func (w *World) ChangeKeys(ctx context.Context) error {
	for i, p := range w.Portals {
		p.Keys = append([]string{fmt.Sprintf("%s: new key of portal %d", Key, i+1)}, p.Keys...)
	}
	if _, err := writePortals(w.dir, w.Portals); err != nil {
		return err
	}
	for _, program := range append(w.Edges, w.Publishers...) {
		if err := program.Signal(syscall.SIGHUP); err != nil {
			return err
		}
	}
	for _, p := range w.Portals {
		signer, err := sign.New("sha1", []byte(p.Keys[0]))
		if err != nil {
			return err
		}
		id := NewChannel()
		post := "/bitrix/pub/?CHANNEL_ID=" + id.String() + "&clientId=" + p.ClientID + "&signature=" + signer.SignBody([]byte("{}"))
		for _, publisher := range w.Publishers {
			if err := publisher.Await(ctx, func(ctx context.Context) error {
				return w.expectOK(ctx, http.MethodPost, "http://"+publisher.Addr+post, "{}")
			}); err != nil {
				return err
			}
		}
		poll := "/bitrix/sub/?CHANNEL_ID=" + signer.Sign(channel.Ref{Private: id}).String() + "&clientId=" + p.ClientID + "&mid=" + strings.Repeat("0", 26)
		for _, edge := range w.Edges {
			if err := edge.Await(ctx, func(ctx context.Context) error {
				return w.expectOK(ctx, http.MethodGet, "http://"+edge.Addr+poll, "")
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// expectOK makes a request, and returns an error unless it is answered 200.
func (w *World) expectOK(ctx context.Context, method, url, body string) error {
	status, answer, err := w.Do(ctx, method, url, body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, answer)
	}
	return err
}

// Signed returns the CHANNEL_ID value with which a client may subscribe to channels.
func (p *Portal) Signed(channels ...channel.ID) string {
	parts := make([]string, len(channels))
	for i, id := range channels {
		parts[i] = p.Signer.Sign(channel.Ref{Private: id}).String()
	}
	return strings.Join(parts, "/")
}

// Token returns the JWT with which a user may subscribe to channels for a day.
func (p *Portal) Token(user int64, channels ...channel.ID) string {
	now := time.Now()
	return p.Signer.SignToken(sign.Token{User: user, Channels: channels, Expires: now.Add(24 * time.Hour)}, p.HostID, now)
}

func (p *Portal) pubPath() string { return cmp.Or(p.PubPath, "/bitrix/pub/") }

// Post publishes a body to channels as a portal does: through nginx's internal address, unsigned
// ids, form content type. The error is nil for status 200 only.
func (p *Portal) Post(ctx context.Context, body string, hangUp bool, channels ...channel.ID) (status int, err error) {
	list := make([]string, len(channels))
	for i, id := range channels {
		list[i] = id.String()
	}
	status, text, err := p.send(ctx, p.pubPath()+"?CHANNEL_ID="+strings.Join(list, "/"), []byte(body), hangUp)
	if err == nil && len(text) != 0 {
		err = fmt.Errorf("an answer of %q, which the portal would take for JSON", text)
	}
	return status, err
}

// PostBinary publishes letters as one batch of the fourth generation. All of them are published, or
// none.
func (p *Portal) PostBinary(ctx context.Context, hangUp bool, letters ...Letter) error {
	var messages []*pb.IncomingMessage
	for _, l := range letters {
		m := &pb.IncomingMessage{Body: []byte(l.Body), Expiry: 86400, Type: []byte("e2e_message")}
		for _, id := range l.Channels {
			raw, ok := id.Bytes()
			if !ok {
				return fmt.Errorf("%v has no binary form", id)
			}
			m.Receivers = append(m.Receivers, &pb.Receiver{Id: raw[:], IsPrivate: true})
		}
		messages = append(messages, m)
	}
	batch, err := proto.Marshal(&pb.RequestBatch{Requests: []*pb.Request{{
		Command: &pb.Request_IncomingMessages{IncomingMessages: &pb.IncomingMessagesRequest{Messages: messages}}}}})
	if err != nil {
		return err
	}
	_, text, err := p.send(ctx, p.pubPath()+"?binaryMode=true&hostname=portal.example.com", batch, hangUp)
	if err == nil && len(text) != 0 {
		err = fmt.Errorf("unexpected answer %q", text)
	}
	return err
}

// PostRPC publishes letters as one post of the fifth generation. All of them are published, or
// none.
func (p *Portal) PostRPC(ctx context.Context, hangUp bool, letters ...Letter) error {
	type params struct {
		Channels []string        `json:"channelList"`
		Users    []int64         `json:"userList"`
		Body     json.RawMessage `json:"body"`
		Expiry   int             `json:"expiry"`
	}
	type call struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  params `json:"params"`
	}
	calls := make([]call, len(letters))
	for i, l := range letters {
		calls[i] = call{"2.0", "publish", params{Body: json.RawMessage(l.Body), Expiry: 86400}}
		for _, id := range l.Channels {
			if user, ok := id.User(); ok {
				calls[i].Params.Users = append(calls[i].Params.Users, user)
			} else {
				calls[i].Params.Channels = append(calls[i].Params.Channels, id.String())
			}
		}
	}
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(calls); err != nil {
		return err
	}
	_, text, err := p.send(ctx, "/bitrix/api/?hostId="+p.HostID, body.Bytes(), hangUp)
	if err != nil {
		return err
	}
	var replies []struct{ Result struct{ MID string } }
	if err := json.Unmarshal(text, &replies); err != nil || len(replies) != len(letters) {
		return fmt.Errorf("an answer of %q to %d calls", text, len(letters))
	}
	for _, reply := range replies {
		if len(reply.Result.MID) != 26 {
			return fmt.Errorf("an answer of %q", text)
		}
	}
	return nil
}

// Call posts one or several calls of version 5, and returns the answer, which may contain errors.
// The error is nil for status 200 only.
func (p *Portal) Call(ctx context.Context, body []byte) (answer string, err error) {
	_, text, err := p.send(ctx, "/bitrix/api/?hostname=portal.example.com&hostId="+p.HostID, body, false)
	return string(text), err
}

// send posts a body to nginx's internal address. It is signed if the service must know which
// portal it is from, or demands it.
func (p *Portal) send(ctx context.Context, path string, body []byte, hangUp bool) (status int, text []byte, err error) {
	if !p.Repeats {
		return p.sendOnce(ctx, path, body, hangUp, "")
	}
	key := NewChannel().String()
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(100 * time.Millisecond) {
		status, text, err = p.sendOnce(ctx, path, body, hangUp, key)
		if status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return status, text, err
		}
	}
}

func (p *Portal) sendOnce(ctx context.Context, path string, body []byte, hangUp bool, key string) (status int, text []byte, err error) {
	if p.ClientID != "" {
		path += "&clientId=" + p.ClientID
	}
	if p.ClientID != "" || strings.HasPrefix(path, "/bitrix/api/") {
		path += "&signature=" + url.QueryEscape(p.Signer.SignBody(body))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.world.Internal+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Message-Expiry", "86400")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	r.Close = hangUp
	answer, err := p.world.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return 0, nil, err
	case answer.StatusCode != http.StatusOK:
		return answer.StatusCode, nil, fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(text))
	}
	return answer.StatusCode, text, nil
}
