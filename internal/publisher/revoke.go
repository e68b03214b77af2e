package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"pushgate/internal/revoke"
	"pushgate/internal/rpc"
)

// revokeAccess puts out what a call names, or lets it in again. The error is the log's.
func (t *tenant) revokeAccess(ctx context.Context, call rpc.Call) (rpc.Reply, error) {
	p, fault := rpc.ParseRevoke(call.Params)
	if fault != nil {
		return rpc.Reply{Fault: fault}, nil
	}
	entry, fault := t.entry(p)
	if fault != nil {
		return rpc.Reply{Fault: fault}, nil
	}
	if call.Method == "restoreAccess" {
		if err := t.log.Lift(ctx, entry); err != nil {
			return rpc.Reply{}, err
		}
		t.tally.Request(call.Method)
		return rpc.Reply{}, nil
	}
	until, err := revoke.Until(p.Until, time.Now())
	if err == nil {
		err = t.log.Revoke(ctx, entry, until)
	}
	switch {
	case errors.Is(err, revoke.ErrUntil), errors.Is(err, revoke.ErrFull):
		return rpc.Reply{Fault: rpc.ErrInvalidParams.With(err.Error())}, nil
	case err != nil:
		return rpc.Reply{}, err
	}
	t.publisher.logger.Info("access revoked", "portal", t.Name(), "what", entry, "until", until)
	t.tally.Request(call.Method)
	return rpc.Reply{Result: marshal(map[string]int64{"until": until.Unix()})}, nil
}

// entry returns what a call names. Its channel must be well formed and its token valid, like those
// of clients: a mistake must not look like a success.
func (t *tenant) entry(p rpc.Revoke) (revoke.Entry, *rpc.Error) {
	switch {
	case p.User != 0:
		return revoke.User(p.User), nil
	case p.TokenID != "":
		return revoke.Token(revoke.TokenID(p.TokenID)), nil
	case p.Token != "":
		token, err := t.Signer.ParseToken(p.Token, t.HostID, time.Now())
		if err != nil {
			return "", rpc.ErrInvalidParams.With("token is not valid, or has expired")
		}
		return revoke.Token(revoke.TokenOf(token.ID, p.Token)), nil
	default:
		refs, err := t.publisher.config.Grammar.ParseList(p.Channel, 1)
		if err != nil || !t.signed(refs) {
			return "", rpc.ErrInvalidParams.With("channelId is not one channel")
		}
		return revoke.Channel(refs[0].Private), nil
	}
}

// revokedAccess answers with what is put out: unix seconds by entry. Secrets are hashes there.
func (t *tenant) revokedAccess(ctx context.Context) (rpc.Reply, error) {
	list, err := t.log.Revocations(ctx)
	if err != nil {
		return rpc.Reply{}, err
	}
	ends, now := make(map[revoke.Entry]int64, len(list)), time.Now()
	for entry, until := range list {
		if now.Before(until) {
			ends[entry] = until.Unix()
		}
	}
	return rpc.Reply{Result: marshal(ends)}, nil
}

func marshal(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return text
}

// Revoke implements [Log].
func (m measured) Revoke(ctx context.Context, entry revoke.Entry, until time.Time) error {
	err := m.log.Revoke(ctx, entry, until)
	if !errors.Is(err, revoke.ErrFull) {
		m.note(err)
	}
	return err
}

// Lift implements [Log].
func (m measured) Lift(ctx context.Context, entry revoke.Entry) error {
	err := m.log.Lift(ctx, entry)
	m.note(err)
	return err
}

// Revocations implements [Log].
func (m measured) Revocations(ctx context.Context) (revoke.List, error) {
	list, err := m.log.Revocations(ctx)
	m.note(err)
	return list, err
}
