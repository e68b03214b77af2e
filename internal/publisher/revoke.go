package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/rpc"
)

// revokeAccess puts out what a call names, or lets it in again. The error is the log's.
func (t *tenant) revokeAccess(ctx context.Context, call rpc.Call) (rpc.Reply, error) {
	p, fault := rpc.ParseRevoke(call.Params)
	if fault != nil {
		return rpc.Reply{Fault: fault}, nil
	}
	now := time.Now()
	target := revoke.Target{User: p.User, TokenID: p.TokenID, Token: p.Token, Channel: p.Channel}
	entries, err := target.Entries(t.Signer, t.HostID, t.publisher.config.Grammar, now)
	if err != nil {
		return rpc.Reply{Fault: rpc.ErrInvalidParams.With(err.Error())}, nil
	}
	if call.Method == "restoreAccess" {
		for _, entry := range entries {
			if err := t.log.Lift(ctx, entry); err != nil {
				return rpc.Reply{}, err
			}
		}
		t.tally.Request(call.Method)
		return rpc.Reply{}, nil
	}
	until, err := revoke.Until(p.Until, now)
	for _, entry := range entries {
		if err == nil {
			err = t.log.Revoke(ctx, entry, until)
		}
	}
	switch {
	case errors.Is(err, revoke.ErrUntil), errors.Is(err, revoke.ErrFull):
		return rpc.Reply{Fault: rpc.ErrInvalidParams.With(err.Error())}, nil
	case err != nil:
		return rpc.Reply{}, err
	}
	t.publisher.logger.Info("access revoked", "portal", t.Name(), "what", entries[0], "until", until)
	t.tally.Request(call.Method)
	return rpc.Reply{Result: marshal(map[string]int64{"until": until.Unix()})}, nil
}

// revokedAccess answers with what is put out: unix seconds by entry. Secrets are hashes there.
func (t *tenant) revokedAccess(ctx context.Context) (rpc.Reply, error) {
	list, _, err := t.log.Revocations(ctx, proto.ID{})
	if err != nil {
		return rpc.Reply{}, err
	}
	if list == nil {
		list = make(revoke.List)
	}
	return rpc.Reply{Result: marshal(list)}, nil
}

func marshal(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return text
}

// out reports whether one of a client's channels is put out.
func (t *tenant) out(ctx context.Context, refs []channel.Ref) (bool, error) {
	entries := make([]revoke.Entry, len(refs))
	for i, ref := range refs {
		entries[i] = revoke.Channel(ref.Private)
	}
	return t.log.RevokedAny(ctx, entries...)
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
func (m measured) Revocations(ctx context.Context, known proto.ID) (revoke.List, proto.ID, error) {
	list, version, err := m.log.Revocations(ctx, known)
	m.note(err)
	return list, version, err
}

// RevokedAny implements [Log].
func (m measured) RevokedAny(ctx context.Context, entries ...revoke.Entry) (bool, error) {
	out, err := m.log.RevokedAny(ctx, entries...)
	m.note(err)
	return out, err
}
