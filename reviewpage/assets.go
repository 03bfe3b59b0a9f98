package reviewpage

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"strings"

	"github.com/castellan-io/castellan/display"
)

//go:embed assets
var files embed.FS

// assets are what the pages load, by a name with the hash of their content in it: a browser may keep them for good.
var assets = map[string]file{}

// file is one asset.
type file struct {
	kind    string
	content []byte
}

var (
	styleName  = load("style.css", "text/css; charset=utf-8")
	scriptName = load("page.js", "text/javascript; charset=utf-8")
)

func load(name, kind string) string {
	content, err := files.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // it is built in
	}
	sum := sha256.Sum256(content)
	base, extension, _ := strings.Cut(name, ".")
	hashed := base + "." + hex.EncodeToString(sum[:8]) + "." + extension
	assets[hashed] = file{kind, content}
	return hashed
}

func asset(w http.ResponseWriter, r *http.Request) {
	f, known := assets[r.PathValue("name")]
	if !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(f.content)
}

// mostShown is how many bytes of one text the page shows, so that no single name fills it.
const mostShown = 2_000

var (
	listTemplate  = templateOf("list.html")
	plainTemplate = templateOf("plain.html")
)

func templateOf(name string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{
		"text":   func(s string) string { return display.Shorten(display.Visible(s), mostShown) },
		"style":  func() string { return "/assets/" + styleName },
		"script": func() string { return "/assets/" + scriptName },
	}).ParseFS(files, "assets/"+name, "assets/head.html"))
}
