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

// assets are the files that pages load, by a name with the hash of their content, so that browsers may cache them
// forever.
var assets = map[string]file{}

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
		panic(err) // embedded, so it exists
	}
	sum := sha256.Sum256(content)
	base, extension, _ := strings.Cut(name, ".")
	hashed := base + "." + hex.EncodeToString(sum[:8]) + "." + extension
	assets[hashed] = file{kind, content}
	return hashed
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	f, known := assets[r.PathValue("name")]
	if !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(f.content)
}

// maxShownText is how many bytes of a text the page shows, so that no name fills it.
const maxShownText = 2_000

var (
	listTemplate  = parseTemplate("list.html")
	plainTemplate = parseTemplate("plain.html")
)

func parseTemplate(name string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{
		"text":   func(s string) string { return display.Shorten(display.Visible(s), maxShownText) },
		"style":  func() string { return "/assets/" + styleName },
		"script": func() string { return "/assets/" + scriptName },
	}).ParseFS(files, "assets/"+name, "assets/head.html"))
}
