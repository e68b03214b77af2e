package publisher

import (
	"context"
	"net/http"
	"strconv"

	"pushgate/internal/channel"
	"pushgate/internal/tally"
)

// online answers which channels of a list have subscribers. The portal also sends the list as the
// body of the GET; only the query counts.
func (p *Publisher) online(w http.ResponseWriter, r *http.Request) {
	q := parseQuery(r.URL.RawQuery)
	t, no := p.tenant(q)
	if no != nil {
		p.logRefused(p.notices, r, no, clientRemedy)
		p.refuse(w, no)
		return
	}
	if !t.trusts(r) {
		if q.signature == "" {
			p.refuse(w, t.refuseUnsigned(r, q))
			return
		}
		plain := func() bool { return t.Signer.VerifyQuestion(q.channels, q.signature) }
		wrong := t.wrongSignature(query{client: q.client})
		if no := t.authenticate(q, plain, nil, wrong); no != nil {
			if no == wrong {
				t.logUnmatched(&t.unmatched.questions, r)
			} else {
				t.logRefused(r, no, clockRemedy)
			}
			p.refuse(w, no)
			return
		}
	}
	ids, no := t.asked(q.channels)
	if no != nil {
		p.refuse(w, no)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), p.config.Timeout)
	defer cancel()
	// Ids of the other grammar cannot be encoded there.
	if q.binary && p.config.Grammar == channel.Hex {
		reply, err := t.batches.Online(ctx, ids)
		p.batchDone(w, reply, err)
		return
	}
	sessions, err := t.log.Online(ctx, ids)
	if err != nil {
		p.refuse(w, unavailable)
		return
	}
	p.metrics.questions.Inc()
	t.tally.Request(tally.ChannelStats)
	answer(w, http.StatusOK, infos(ids, sessions))
}

// asked returns the channels of a query for who is online.
func (t *tenant) asked(list string) ([]channel.ID, *refusal) {
	if t.publisher.config.Grammar == channel.Alphanumeric {
		return t.receivers(list)
	}
	refs, err := t.publisher.config.Grammar.ParseList(list, t.Limits.Channels)
	switch {
	case err == channel.ErrTooMany:
		return nil, tooMany
	case err != nil || !t.signed(refs):
		return nil, noChannels
	}
	return private(refs), nil
}

// infos encodes who is online exactly as the first generation does, including spaces.
func infos(ids []channel.ID, sessions []int) string {
	b := []byte(`{ "infos": [`)
	for i, id := range ids {
		if sessions[i] <= 0 {
			continue
		}
		if b[len(b)-1] == '}' {
			b = append(b, ',')
		}
		b = append(b, `{"channel":"`...)
		b, _ = id.AppendText(b)
		b = append(b, `","subscribers":`...)
		b = append(strconv.AppendInt(b, int64(sessions[i]), 10), '}')
	}
	return string(append(b, "]}"...))
}
