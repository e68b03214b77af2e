// Package console serves the page with which an operator sees and works an installation, at the
// admin port of each process.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"sync"
	"time"

	"pushgate/internal/admin"
)

//go:embed static
var embedded embed.FS

// policy lets the page load its own files and ask its own process, and nothing else. No script can
// make elements or code of a text: names, bodies and reasons come from anybody.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// types are the content types of the files. Those of the machine may be others.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	"":      "text/plain; charset=utf-8", // a licence
}

// site is the page and its files.
type site struct {
	page  []byte // with the addresses of the files
	build string // a hash of everything
	files fs.FS
}

// load reads the embedded files, once somebody asks.
var load = sync.OnceValue(func() *site {
	files, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the name is not valid
	}
	hash := sha256.New()
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		hash.Write([]byte(name))
		hash.Write(text)
		return err
	})
	if err != nil {
		panic(err) // embedded files can be read
	}
	build := hex.EncodeToString(hash.Sum(nil)[:8])
	page, _ := fs.ReadFile(files, "index.html")
	page = bytes.ReplaceAll(page, []byte(`"static/`), []byte(`"/admin/static/`+build+`/`))
	return &site{page, build, files}
})

// Routes returns the routes of the console. They are open: what the page shows, it asks for with
// the rights of whoever has opened it.
func Routes() []admin.Route {
	return []admin.Route{
		{Pattern: "GET /{$}", Handler: http.RedirectHandler("/admin/", http.StatusFound)},
		{Pattern: "GET /admin", Handler: http.RedirectHandler("/admin/", http.StatusFound)},
		{Pattern: "GET /admin/{$}", Handler: http.HandlerFunc(servePage)},
		{Pattern: "GET /admin/static/{build}/{name...}", Handler: http.HandlerFunc(serveFile)},
	}
}

// servePage serves the page, which a browser must compare with that of the process each time.
func servePage(w http.ResponseWriter, r *http.Request) {
	s := load()
	w.Header().Set("ETag", `"`+s.build+`"`)
	w.Header().Set("Cache-Control", "no-cache")
	s.serve(w, r, "index.html", s.page)
}

// serveFile serves what the page loads. A file never changes: its address has the hash of all.
func serveFile(w http.ResponseWriter, r *http.Request) {
	s := load()
	name := r.PathValue("name")
	text, err := fs.ReadFile(s.files, name)
	if err != nil || r.PathValue("build") != s.build || name == "index.html" {
		http.Error(w, "This process has no such file: load the console again.", http.StatusNotFound)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	s.serve(w, r, name, text)
}

func (s *site) serve(w http.ResponseWriter, r *http.Request, name string, text []byte) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", types[path.Ext(name)])
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
}
