package admin

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed login.html
var loginText string

var loginPage = template.Must(template.New("login").Parse(loginText))

// loginWords are the words of the form in one language.
type loginWords struct {
	Lang, Title, Token, Button string
	sentences                  map[*refusal]string
}

var (
	english = loginWords{"en", "Log in", "Token, of", "Log in", map[*refusal]string{wrongToken: wrongToken.text}}
	russian = loginWords{"ru", "Вход", "Токен из", "Войти", map[*refusal]string{wrongToken: "Такого токена в PUSHGATE_ADMIN_TOKENS нет."}}
)

// words returns those for whoever makes a request: as the query says, or else what the browser
// prefers.
func words(r *http.Request) loginWords {
	preferred := r.URL.Query().Get("lang") + "," + r.Header.Get("Accept-Language")
	for tag := range strings.SplitSeq(strings.ToLower(preferred), ",") {
		switch lang, _, _ := strings.Cut(strings.TrimSpace(tag), ";"); {
		case lang == "en" || strings.HasPrefix(lang, "en-"):
			return english
		case lang == "ru" || strings.HasPrefix(lang, "ru-"):
			return russian
		}
	}
	return english
}

func (g *Guard) form(w http.ResponseWriter, r *http.Request) { sayForm(w, r, http.StatusOK, nil) }

// sayForm answers with the form, which says why nobody was let in if no is not nil. The form has no
// action: so it is sent to the address in the browser, and after the redirect the browser is where
// the fragment of that address leads to in the console.
func sayForm(w http.ResponseWriter, r *http.Request, status int, no *refusal) {
	texts := words(r)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_ = loginPage.Execute(w, struct {
		loginWords
		Sentence string
	}{texts, texts.sentences[no]}) // the client has gone
}

func (g *Guard) login(w http.ResponseWriter, r *http.Request) {
	if len(g.tokens) == 0 {
		g.refuse(w, r, noTokens, 0)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostBody)
	s := g.match(r.PostFormValue("token"))
	if s == nil {
		caller := CallerOf(r)
		_, no, wait := g.wrong(caller)
		if no == paced {
			g.refuse(w, r, no, wait)
			return
		}
		g.count(r, no)
		sayForm(w, r, no.status, no)
		return
	}
	http.SetCookie(w, s.cookie(r, time.Now()))
	g.cfg.Logger.Info("login at the admin port", "who", s.name, "from", CallerOf(r).From)
	http.Redirect(w, r, home, http.StatusSeeOther)
}

func (g *Guard) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, newCookie(r))
	http.Redirect(w, r, "/admin/login", http.StatusSeeOther)
}
