package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/config"
	"pushgate/internal/shell"
	"pushgate/internal/sign"
)

const (
	revokeTimeout = 10 * time.Second
	maxRevokeText = 4 << 20 // bytes of an answer
)

// revocation is what the command line asks for.
type revocation struct {
	to, portal, env         string
	user                    int64
	token, tokenID, channel string
	life                    time.Duration
	until                   int64
	restore, list           bool
}

// newRevoke returns the command that puts out a client. It asks a publisher, as a portal does,
// because the machine of an operator need not reach Redis, and one way in is easier to guard.
func newRevoke(w world) *cobra.Command {
	var o revocation
	c := &cobra.Command{
		Use:   "revoke",
		Short: "Close the connections of a user, a token or a channel, and refuse new ones",
		Long: "Ask a publisher to put out one user, token or channel of a portal: within a second, every edge closes its connections with 4010 and refuses new ones. " +
			"PUSHGATE_KEYS or the file of portals has the key that signs the request.\n\n" +
			"The settings are those of the environment. If it has none, they are read from " + packagedEnv + ".",
		Example: "  pushgate revoke --to http://127.0.0.1:9010 --user 17 --for 72h\n  pushgate revoke --to http://127.0.0.1:9010 --user 17 --restore\n  pushgate revoke --to http://127.0.0.1:9010 --list",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return o.run(c.Context(), w) },
	}
	flags := c.Flags()
	flags.StringVar(&o.to, "to", "", "`URL` of a publisher")
	flags.StringVar(&o.portal, "portal", "", "client `ID` of the portal, among many")
	flags.StringVar(&o.env, "env", "", "`FILE` with the settings of the processes, instead of the environment")
	flags.Int64Var(&o.user, "user", 0, "`ID` of the user, as tokens name it")
	flags.StringVar(&o.token, "token", "", "the `TOKEN` itself")
	flags.StringVar(&o.tokenID, "token-id", "", "the `JTI` of the token")
	flags.StringVar(&o.channel, "channel", "", "private `CHANNEL` id, or a signed list as it stands in a log")
	flags.DurationVar(&o.life, "for", 24*time.Hour, "`TIME` until it ends")
	flags.Int64Var(&o.until, "until", 0, "`SECOND` when it ends, in unix time")
	flags.BoolVar(&o.restore, "restore", false, "take it back")
	flags.BoolVar(&o.list, "list", false, "list what is put out")
	requireFlags(c, "to")
	c.MarkFlagsOneRequired("user", "token", "token-id", "channel", "list")
	c.MarkFlagsMutuallyExclusive("user", "token", "token-id", "channel", "list")
	c.MarkFlagsMutuallyExclusive("for", "until", "restore", "list")
	return c
}

// call returns the request as a portal writes it.
func (o revocation) call(now time.Time) ([]byte, error) {
	method, params := "revokeAccess", map[string]any{}
	for name, value := range map[string]string{"token": o.token, "tokenId": o.tokenID, "channelId": o.channel} {
		if value != "" {
			params[name] = value
		}
	}
	if o.user != 0 {
		params["userId"] = o.user
	}
	switch {
	case o.list:
		method = "getRevokedAccess"
	case o.restore:
		method = "restoreAccess"
	case o.until != 0:
		params["until"] = o.until
	default:
		params["until"] = now.Add(o.life).Unix()
	}
	return json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

func (o revocation) run(ctx context.Context, w world) error {
	base, err := serverURL("to", o.to)
	if err != nil {
		return err
	}
	environ, err := w.settings(o.env)
	if err != nil {
		return err
	}
	settings, err := config.LoadEdge(environ)
	if err != nil {
		return err
	}
	portals, err := settings.Portals()
	if err != nil {
		return err
	}
	p := portals.Find(o.portal)
	if p == nil {
		return errors.New("--portal is not the client id of a portal of these settings")
	}
	now := time.Now()
	body, err := o.call(now)
	if err != nil {
		return err
	}
	query := url.Values{"signature": {p.Signer.SignPost(sign.Post{Time: now.Unix(), Body: body})}, "timestamp": {strconv.FormatInt(now.Unix(), 10)}}
	if p.ClientID != "" {
		query.Set("clientId", p.ClientID)
	}
	if p.HostID != "" {
		query.Set("hostId", p.HostID)
	}
	target := strings.TrimSuffix(base.String(), "/") + "/bitrix/api/?" + query.Encode()
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	// A redirect would take the body, and the signature in the Referer, to another server.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the whole has the signature
		}
		return fmt.Errorf("ask the publisher: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxRevokeText))
	if err != nil {
		return fmt.Errorf("read the publisher's answer: %w", err)
	}
	return o.report(w, response.StatusCode, text)
}

// report prints an answer, or returns its error.
func (o revocation) report(w world, status int, text []byte) error {
	var reply struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(text, &reply); err != nil {
		return fmt.Errorf("the publisher refused: status %d: %.200q", status, text)
	}
	if status != http.StatusOK || reply.Error != nil || reply.Result == nil {
		return fmt.Errorf("the publisher refused: status %d: %.200q", status, text)
	}
	if o.list {
		var ends map[string]int64
		if err := json.Unmarshal(reply.Result, &ends); err != nil {
			return fmt.Errorf("the publisher's answer is not a list: %w", err)
		}
		for _, entry := range slices.Sorted(maps.Keys(ends)) {
			fmt.Fprintf(w.stdout, "%s until %s\n", shell.Clean(entry), time.Unix(ends[entry], 0).UTC().Format(time.RFC3339))
		}
		return nil
	}
	if o.restore {
		fmt.Fprintln(w.stdout, "let in again")
		return nil
	}
	var put struct {
		Until int64 `json:"until"` // unix seconds
	}
	if err := json.Unmarshal(reply.Result, &put); err != nil {
		return fmt.Errorf("the publisher's answer has no end: %w", err)
	}
	fmt.Fprintf(w.stdout, "put out until %s\n", time.Unix(put.Until, 0).UTC().Format(time.RFC3339))
	return nil
}
