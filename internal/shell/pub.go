package shell

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
)

// Post is a message as a portal posts it.
type Post struct {
	To   Names  // of a pair, the private id is meant; signatures are not sent
	Body []byte // a JSON object
	Type string // empty: from the body
	// How long the message lives, in whole seconds: 0 is a transient message. Nil: as long as the
	// rule of its type allows.
	Life *time.Duration
	// An idempotency key. Empty: none, and the signature contains a time, so that nobody who sees
	// it can repeat the post later.
	Key string
}

const (
	apiPath     = "/bitrix/api/"
	postTimeout = 15 * time.Second
	maxAnswer   = 64 << 10
)

// call is the JSON-RPC call of version 5: the only way of posting whose answer has the message's
// id.
type call struct {
	Version string `json:"jsonrpc"`
	ID      string `json:"id"`
	Method  string `json:"method"`
	Params  params `json:"params"`
}

type params struct {
	Channels []string        `json:"channelList,omitempty"`
	Users    []int64         `json:"userList,omitempty"`
	Body     json.RawMessage `json:"body"`
	Expiry   *int64          `json:"expiry,omitempty"`
	Type     string          `json:"type,omitempty"`
}

// reply is the answer to a call.
type reply struct {
	Result struct {
		MID string `json:"mid"`
	} `json:"result"`
	Error *struct {
		Message string `json:"message"`
		Data    any    `json:"data"`
	} `json:"error"`
}

// Publish posts a message to a publisher, signed with the first key of the portal, and returns its
// id. The error says what the publisher answered.
func (s *Server) Publish(ctx context.Context, p *portal.Portal, post Post) (mid string, err error) {
	body, err := post.encode()
	if err != nil {
		return "", err
	}
	q := url.Values{}
	if p.ClientID != "" {
		q.Set("clientId", p.ClientID)
	}
	if p.HostID != "" {
		q.Set("hostId", p.HostID)
	}
	if post.Key == "" {
		now := time.Now().Unix()
		q.Set("timestamp", strconv.FormatInt(now, 10))
		q.Set("signature", p.Signer.SignPost(sign.Post{Time: now, Body: body}))
	} else {
		q.Set("signature", p.Signer.SignBody(body))
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	r, err := s.request(ctx, http.MethodPost, apiPath, q, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if post.Key != "" {
		r.Header.Set("Idempotency-Key", post.Key)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return "", fmt.Errorf("post to %s: %w; --url names another publisher", s.name, plain(err))
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("post to %s: it may have been published, the answer did not come: %w", s.name, plain(err))
	}
	mid, err = accepted(answer.StatusCode, text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.name, err)
	}
	return mid, nil
}

func (post *Post) encode() ([]byte, error) {
	if _, ok := proto.ParseObject(post.Body); !ok {
		return nil, errors.New(`the body is not a JSON object, such as {"module_id":"im","command":"message","params":{}}`)
	}
	// The id makes two calls differ, which a publisher would take for one if their time were the
	// same.
	c := call{Version: "2.0", ID: rand.Text(), Method: "publish", Params: params{Users: post.To.Users, Body: post.Body, Type: post.Type}}
	if post.Key != "" {
		c.ID = ""
	}
	for _, ref := range post.To.Refs {
		c.Params.Channels = append(c.Params.Channels, ref.Private.String())
	}
	if post.Life != nil {
		if *post.Life < 0 || *post.Life%time.Second != 0 {
			return nil, fmt.Errorf("a life of %v: want whole seconds, such as 60s or 2h, or 0 for a transient message", *post.Life)
		}
		seconds := int64(*post.Life / time.Second)
		c.Params.Expiry = &seconds
	}
	return json.Marshal(c)
}

// accepted returns the id of the message that a publisher has accepted.
func accepted(status int, text []byte) (mid string, err error) {
	var r reply
	isReply := json.Unmarshal(text, &r) == nil
	switch {
	case isReply && r.Error != nil:
		said := Clean(r.Error.Message)
		if data, ok := r.Error.Data.(string); ok {
			said += ": " + Clean(data)
		}
		return "", fmt.Errorf("the message was refused: %s", said)
	case status == http.StatusNotFound:
		return "", errors.New("no publisher takes posts here (404), is it an edge? --url names the publisher")
	case status == http.StatusRequestEntityTooLarge:
		return "", errors.New("413: the body is larger than PUSHGATE_MAX_PAYLOAD of the publisher, or the portal's limit, allows")
	case status == http.StatusBadRequest && bytes.Contains(text, []byte(proto.ErrRequestSignature.Text)):
		return "", fmt.Errorf("%s (PUSHGATE_KEYS and PUSHGATE_SIGNATURE_ALGO here are not those of the publisher, or the clocks differ by minutes)", words(status, text))
	case status == http.StatusBadRequest && bytes.Contains(text, []byte(proto.ErrNoClientID.Text)):
		return "", fmt.Errorf("%s (the publisher serves other portals; --portal and PUSHGATE_HOST_ID, or host_id in the file of PUSHGATE_PORTALS, say which)", words(status, text))
	case status != http.StatusOK:
		return "", fmt.Errorf("the message was refused with %s", words(status, text))
	case !isReply || r.Result.MID == "":
		return "", errors.New("the answer is not that of a publisher; --url names another one")
	}
	if _, err := proto.ParseID(r.Result.MID); err != nil {
		return "", errors.New("the answer has no message id; --url names another publisher")
	}
	return r.Result.MID, nil
}
