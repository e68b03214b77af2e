package explain

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"pushgate/internal/trail"
)

// printer writes a report for people. The first error counts.
type printer struct {
	w    io.Writer
	lang Lang
	err  error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, safe(fmt.Sprintf(format, args...))+"\n")
	}
}

// in returns one of two texts, by the language.
func (p *printer) in(en, ru string) string {
	if p.lang == Russian {
		return ru
	}
	return en
}

// clock returns a time of unix milliseconds as it is printed.
func (p *printer) clock(milli int64) string {
	if milli == 0 {
		return p.in("unknown", "неизвестно")
	}
	return time.UnixMilli(milli).Format("2006-01-02 15:04:05.000")
}

// between returns two times of unix milliseconds, or one if they are the same.
func (p *printer) between(from, to int64) string {
	if to <= from {
		return p.clock(from)
	}
	return p.clock(from) + " … " + p.clock(to)
}

// safe returns a line without what a terminal would obey, and without marks that turn the direction
// of writing: names and reasons come from other processes.
func safe(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// Text writes the report for people.
func (r *Report) Text(w io.Writer, lang Lang) error {
	p := &printer{w: w, lang: lang}
	p.line("%s %s%s", p.in(string(r.Kind), map[Kind]string{KindMessage: "сообщение", KindChannel: "канал", KindUser: "пользователь", KindList: "список", KindToken: "токен"}[r.Kind]),
		r.Query, p.portal(r.Portal))
	if r.Message != nil {
		p.message(r.Message)
	}
	for _, part := range r.Parts {
		p.part(part)
	}
	for _, c := range r.Channels {
		p.channel(c)
	}
	for _, v := range r.Verdicts {
		p.line("→ %s: %s", v.title(p), v.Text[lang])
	}
	for _, s := range r.Sessions {
		p.session(s)
	}
	for _, f := range r.Refused {
		p.line("  %s %s: %s", p.clock(f.At), f.Process, f.Text[lang])
	}
	if len(r.Unknown) > 0 {
		p.line("%s", p.in("Not known:", "Неизвестно:"))
	}
	for _, u := range r.Unknown {
		since := ""
		switch {
		case u.Since > 0 && u.What == MissGone:
			since = " " + p.in("last seen ", "последний раз виден ") + p.clock(u.Since)
		case u.Since > 0:
			since = " " + p.in("It remembers from ", "Помнит с ") + p.clock(u.Since)
		}
		p.line("  %s: %s%s", u.Process, u.Text[lang], since)
	}
	return p.err
}

func (p *printer) portal(name string) string {
	if name == "" {
		return ""
	}
	return p.in(", portal ", ", портал ") + name
}

func (v Verdict) title(p *printer) string {
	switch {
	case v.Channel != "":
		return v.Channel
	case v.Mark != 0:
		return p.in("channel with mark ", "канал с отметкой ") + v.Mark.String()
	default:
		return p.in("the message", "сообщение")
	}
}

func (p *printer) message(m *Message) {
	state := map[string]string{StateStored: "в журнале", StateTransient: "не хранится", StateExpired: "срок истёк", StateGone: "потеряно", StateNotFound: "не найдено", StateUnknown: "неизвестно"}
	p.line("  %s: %s", p.in("state", "состояние"), p.in(m.State, state[m.State]))
	if m.Created != 0 {
		p.line("  %s: %s, %s: %s, %s %v (%s)", p.in("created", "создано"), p.clock(m.Created), p.in("type", "тип"), m.Type, p.in("life", "срок жизни"),
			time.Duration(m.Life)*time.Millisecond, p.rule(m))
	}
	if m.State == StateStored {
		p.line("  %s: %s, %d %s, %d %s", p.in("expires", "истекает"), p.clock(m.Expires), m.Bytes, p.in("bytes", "байт"), m.Receivers, p.in("receivers", "получателей"))
	}
	for _, a := range m.Accepted {
		p.line("  %s: %s %s, %s, %.1f ms", p.in("accepted", "принято"), a.Process, p.clock(a.At), a.Outcome, a.Took)
	}
	for _, h := range m.Heard {
		switch {
		case h.From != 0:
			p.line("  %s: %s %s", p.in("heard", "получено узлом"), h.Process, p.between(h.From, h.To))
		case h.Known:
			p.line("  %s: %s", p.in("not notified", "узел не уведомлён"), h.Process)
		}
	}
	for _, l := range m.Lists {
		if l.Trimmed {
			p.line("  %s: %s", p.in("trimmed from", "удалено из"), l.Channel)
		}
	}
}

func (p *printer) rule(m *Message) string {
	switch {
	case m.Life == 0:
		return p.in("not stored", "не хранится")
	case m.Rule == "":
		return p.in("no rule", "без правила")
	case m.Life < m.RuleLife:
		return p.in("asked for by the sender; the rule is ", "задан отправителем; правило ") + m.Rule
	default:
		return p.in("by the rule ", "по правилу ") + m.Rule
	}
}

func (p *printer) part(part Part) {
	verdict := p.in("no key of the portal has signed it", "не подписан ни одним ключом портала")
	switch {
	case part.Shortened:
		verdict = p.in("shortened: its signature cannot be checked", "сокращён: подпись проверить нельзя")
	case part.Key > 0:
		verdict = fmt.Sprintf(p.in("signed by key %d of the portal with %s", "подписан ключом %d портала, алгоритм %s"), part.Key, part.Algorithm)
		if part.Encoding != "" {
			verdict += p.in(", decoded from ", ", раскодированным из ") + part.Encoding
		}
		if !part.Signed {
			verdict += p.in("; not accepted", "; не принимается")
		}
	}
	until := p.in("; a list has no end", "; список бессрочный")
	if part.Until != 0 {
		until = p.in("; valid until ", "; действителен до ") + p.clock(part.Until)
	}
	p.line("  %s: %s%s", part.Channel, verdict, until)
}

func (p *printer) channel(c Channel) {
	p.line("  %s: %s %d", c.Channel, p.in("messages listed in the log:", "сообщений в журнале:"), c.Length)
	for _, id := range c.Newest {
		p.line("    %s", id)
	}
	for _, a := range c.Posts {
		p.line("    %s %s %s %s %s", p.clock(a.At), a.Process, a.Outcome, a.ID, a.Type)
	}
	if c.Why == Written {
		p.line("→ %s", p.in("Somebody is connected to it.", "К каналу кто-то подключён."))
		return
	}
	text := c.Text[p.lang]
	if c.Why == NotConnected {
		text = p.in("Nobody is connected to it.", "К каналу никто не подключён.")
	}
	p.line("→ %s", text)
}

func (p *printer) session(s Session) {
	end := p.in("still connected", "соединение открыто")
	if s.Ended != 0 {
		end = fmt.Sprintf("%s %s (%s)", p.in("ended", "закрыто"), p.clock(s.Ended), s.Reason)
	}
	p.line("  %s #%d %s%s: %s %s, %s", s.Process, s.Number, s.Transport, p.portal(s.Portal), p.in("began", "открыто"), p.clock(s.Began), end)
	if s.Why == "" {
		if !s.Through.IsZero() {
			p.line("    %s %s, %s", p.in("acknowledged through", "подтверждено до"), s.Through, p.clock(s.AckedAt))
		}
		return
	}
	text := s.Text[p.lang]
	for _, span := range s.Written {
		text += " " + p.span(span)
	}
	if s.Acked {
		text += " " + p.in("The client has acknowledged it.", "Клиент подтвердил получение.")
	}
	p.line("    %s", text)
}

func (p *printer) span(s trail.Span) string { return p.between(s.From/1000, s.To/1000) }

// Text writes a step of a trace for people.
func (s Step) Text(w io.Writer, lang Lang) error {
	p := &printer{w: w, lang: lang}
	what := map[string]string{trail.StepPosted: "опубликовано", trail.StepHeard: "получено узлом", trail.StepWritten: "записано", trail.StepAcked: "подтверждено",
		trail.StepBegan: "подключение", trail.StepEnded: "отключение", trail.StepRefused: "отказ", stepDropped: "пропущено", stepSilent: "нет ответа"}[s.What]
	text := fmt.Sprintf("%s %s %s", p.clock(s.Milli), s.Process, p.in(s.What, what))
	if !s.ID.IsZero() {
		text += " " + s.ID.String()
	}
	if s.Through.After(s.ID) {
		text += "…" + s.Through.String()
	}
	if s.Session != 0 {
		text += fmt.Sprintf(" #%d", s.Session)
	}
	if s.Dropped > 0 {
		text += fmt.Sprintf(" %d", s.Dropped)
	}
	p.line("%s%s %s", text, p.portal(s.Portal), s.Detail)
	return p.err
}
