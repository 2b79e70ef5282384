// Package page renders a result as one self-contained HTML file that opens
// offline, from a file:// address, with or without scripts, on screen and on
// paper.
//
// It never judges, computes no figure that the result does not imply, reads no
// files or clocks, and refers to nothing outside the page: a content security
// policy in it forbids every load.
package page

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"strings"
	"sync"

	"diostress/internal/verdict"
)

//go:embed assets/page.html
var pageHTML string

//go:embed assets/run.html
var runHTML string

//go:embed assets/page.css
var pageCSS string

//go:embed assets/errors.js
var errorsJS string

//go:embed assets/charts.js
var chartsJS string

//go:embed assets/uPlot.iife.min.js
var uplotJS string

//go:embed assets/uPlot.min.css
var uplotCSS string

//go:embed assets/uPlot-LICENSE
var uplotLicense string

// Render writes the page of r to w. Findings, witnesses, sections and long
// texts are bounded, and what was left out is said on the page, so that the
// file stays below a few MB whatever r holds. r is not changed. Render may be
// called concurrently; errors are those of w.
func Render(w io.Writer, r *verdict.Result) error {
	d := newDocument(r)
	d.Assets = assets()
	b := bufio.NewWriterSize(w, 64<<10)
	if err := parsed().Execute(b, d); err != nil {
		return err
	}
	return b.Flush()
}

var parsed = sync.OnceValue(func() *template.Template {
	t := template.New("page")
	template.Must(t.New("run").Parse(runHTML))
	return template.Must(t.Parse(pageHTML))
})

// inlined is the code and style of the page, and the policy that allows just
// these by their hashes.
type inlined struct {
	Style          template.CSS
	Errors, Charts template.JS
	Policy         string
}

var assets = sync.OnceValue(func() inlined {
	// The licence asks for its notice in every copy, so it goes into the page.
	notice := "/* uPlot\n" + strings.TrimSpace(uplotLicense) + "\n*/\n"
	a := inlined{
		Style:  template.CSS(notice + uplotCSS + "\n" + pageCSS),
		Errors: template.JS(errorsJS),
		Charts: template.JS(notice + uplotJS + "\n" + chartsJS),
	}
	a.Policy = "default-src 'none'; base-uri 'none'; form-action 'none'" +
		"; style-src " + hash(string(a.Style)) +
		"; script-src " + hash(string(a.Errors)) + " " + hash(string(a.Charts))
	return a
})

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
