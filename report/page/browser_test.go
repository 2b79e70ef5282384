package page

import (
	"bytes"
	"flag"
	"image"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"diostress/internal/verdict"
)

var keep = flag.String("keep", "", "directory to leave pages, screenshots and PDFs in, to be looked at")

// place writes the page of r and returns its address.
func place(t *testing.T, dir, name string, r *verdict.Result) string {
	t.Helper()
	path := filepath.Join(dir, name+".html")
	if err := os.WriteFile(path, render(t, r), 0o644); err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

func leave(t *testing.T, name string, data []byte) {
	t.Helper()
	if *keep != "" {
		if err := os.WriteFile(filepath.Join(*keep, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func media(b *browser, kind, scheme string) {
	b.call("Emulation.setEmulatedMedia", map[string]any{"media": kind, "features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

func screenshot(t *testing.T, b *browser, name string) image.Image {
	t.Helper()
	raw := b.file("Page.captureScreenshot", map[string]any{"format": "png"})
	leave(t, name+".png", raw)
	m, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pixels counts those of a colour.
func pixels(m image.Image, rgb uint32) (n int) {
	for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y++ {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x++ {
			r, g, b, _ := m.At(x, y).RGBA()
			if r>>8<<16|g>>8<<8|b>>8 == rgb {
				n++
			}
		}
	}
	return n
}

var cases = []struct {
	name   string
	result func() *verdict.Result
	charts int // live ones
	pages  int // of paper, at most
}{
	{"normal", normal, 9, 12},
	{"zero-collisions", quiet, 3, 5},
	{"blind", blind, 1, 5},
	{"flood", flood, 9, 60},
	{"matrix", func() *verdict.Result { return matrix(6) }, 18, 16},
	{"empty", func() *verdict.Result { return &verdict.Result{} }, 0, 2},
	{"hostile", hostile, 3, 40},
}

func TestBrowser(t *testing.T) {
	b := startBrowser(t)
	dir := t.TempDir()
	if *keep != "" {
		dir = *keep
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b.t = t
			at := place(t, dir, c.name, c.result())
			media(b, "", "light")
			clean(t, b, at, c.charts)
			light := screenshot(t, b, c.name+"-light")
			if light.Bounds().Dx() != 1366 || light.Bounds().Dy() != 768 {
				t.Errorf("the window is %v", light.Bounds())
			}
			media(b, "", "dark")
			dark := screenshot(t, b, c.name+"-dark")
			for _, x := range []struct {
				of   image.Image
				rgb  uint32
				name string
			}{{light, 0xffffff, "light"}, {dark, 0x15181b, "dark"}} {
				if n := pixels(x.of, x.rgb); n < 1366*768/2 {
					t.Errorf("%s: %d pixels of the background", x.name, n)
				}
			}
			paper(t, b, c.name, c.pages)
		})
	}
	for name, test := range map[string]func(*testing.T, *browser){"charts": testCharts, "errors are noticed": testErrorsAreNoticed, "without scripts": testWithoutScripts} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			test(t, b)
		})
	}
	b.t = t
}

// clean opens a page and wants it drawn, without an error, a request or a
// line that is wider than the window.
func clean(t *testing.T, b *browser, at string, charts int) {
	t.Helper()
	errors, requests := b.open(at)
	if len(errors) > 0 {
		t.Errorf("the browser reports:\n%s", strings.Join(errors, "\n"))
	}
	if len(requests) != 1 || requests[0] != at {
		t.Errorf("the page asked for %q, want itself only", requests)
	}
	var page struct {
		Errors, ErrorText, Charts, Wanted string
		Wide                              float64
		Pwned                             bool
	}
	b.eval(`({errors: document.documentElement.dataset.errors, errorText: document.documentElement.dataset.errorText || '',
		charts: document.documentElement.dataset.charts, wanted: document.documentElement.dataset.chartsWanted,
		wide: document.documentElement.scrollWidth - innerWidth, pwned: 'pwned' in window})`, &page)
	if page.Errors != "0" {
		t.Errorf("%s errors in the page: %s", page.Errors, page.ErrorText)
	}
	if page.Charts != page.Wanted || page.Charts != itoa(charts) {
		t.Errorf("%s charts drawn, %s wanted by the page, want %d", page.Charts, page.Wanted, charts)
	}
	if page.Wide > 0 {
		t.Errorf("the page is %v px wider than the window", page.Wide)
	}
	if page.Pwned {
		t.Error("a text of the result ran as a script")
	}
}

var pdfPage = regexp.MustCompile(`/Type\s*/Page\b[^s]`)

func paper(t *testing.T, b *browser, name string, most int) {
	t.Helper()
	raw := b.file("Page.printToPDF", map[string]any{"preferCSSPageSize": true, "printBackground": false})
	leave(t, name+".pdf", raw)
	if !bytes.HasPrefix(raw, []byte("%PDF-")) || !bytes.HasSuffix(bytes.TrimSpace(raw), []byte("%%EOF")) {
		t.Fatalf("not a PDF: %.20q", raw)
	}
	if n := len(pdfPage.FindAll(raw, -1)); n < 1 || n > most {
		t.Errorf("%d pages of paper, want 1 to %d", n, most)
	}
	// A4 without its margins, as the style sheet has them.
	media(b, "print", "dark")
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 703, "height": 1024, "deviceScaleFactor": 1, "mobile": false}, nil)
	var page struct {
		Wide       float64
		Background string
		Canvases   int
		Drawings   int
	}
	b.eval(`({wide: document.documentElement.scrollWidth - innerWidth, background: getComputedStyle(document.body).backgroundColor,
		canvases: [].filter.call(document.querySelectorAll('canvas'), function (c) { return c.getBoundingClientRect().height > 0; }).length,
		drawings: [].filter.call(document.querySelectorAll('figure[data-chart] svg'), function (s) { return s.getBoundingClientRect().height === 0; }).length})`, &page)
	b.laptop()
	if page.Wide > 0 {
		t.Errorf("on paper the page is %v px too wide", page.Wide)
	}
	if page.Background != "rgb(255, 255, 255)" {
		t.Errorf("on paper the background is %s", page.Background)
	}
	if page.Canvases != 0 || page.Drawings != 0 {
		t.Errorf("on paper %d canvases show and %d drawings do not", page.Canvases, page.Drawings)
	}
}

// testCharts points at and drags in live charts, and looks at their pixels.
func testCharts(t *testing.T, b *browser) {
	at := place(t, t.TempDir(), "failing", failing())
	media(b, "", "light")
	clean(t, b, at, 9)

	// The line itself: uPlot paints it in the colour of the style sheet.
	b.eval(`document.querySelector('#run-1').scrollIntoView()`, nil)
	light := screenshot(t, b, "charts-light")
	for name, rgb := range map[string]uint32{"writes": 0x2a5d96, "pre-write failures": 0xc2560a, "fsync EIO": 0xa01562} {
		if n := pixels(light, rgb); n < 300 {
			t.Errorf("%s: %d pixels of the line's colour", name, n)
		}
	}
	media(b, "", "dark")
	b.eval(`new Promise(function (done) { setTimeout(done, 50); })`, nil)
	if n := pixels(screenshot(t, b, "charts-dark"), 0x86b9f0); n < 300 {
		t.Errorf("dark: %d pixels of the line's colour", n)
	}

	var box struct{ X, Y float64 }
	over := func(selector string) string {
		t.Helper()
		b.eval(`(function () { var e = document.querySelector('`+selector+`'); e.scrollIntoView({block: 'center'});
			var r = e.getBoundingClientRect(); return {x: r.left + r.width / 2, y: r.top + r.height / 2}; })()`, &box)
		b.move(box.X, box.Y)
		var tip string
		b.eval(`(function () { var t = document.getElementById('tip'); return t.classList.contains('on') ? t.textContent : ''; })()`, &tip)
		return tip
	}
	for selector, want := range map[string]string{
		"#run-1 .uplot .u-over": `^\d+\.\d\d – \d+\.\d\d s\nwrites: [\d,]+ /s\n[\d.]+ [KM]iB/s, slowest write [\d.]+ ms$`,
		"#run-1 .b-direct .hit": `^[\d.]+ .?s – [\d.]+ .?s: \d+ direct writes? \(`,
		"#run-1 .b-collided":    `^[\d.]+ .?s – [\d.]+ .?s: \d+ collided writes? \(`,
	} {
		if tip := over(selector); !regexp.MustCompile(want).MatchString(tip) {
			t.Errorf("%s shows %q, want %s", selector, tip, want)
		}
	}
	if tip := over("h1"); tip != "" {
		t.Errorf("away from every chart %q is still shown", tip)
	}

	// Dragging zooms in.
	over("#run-1 .uplot .u-over")
	for _, e := range []map[string]any{
		{"type": "mousePressed", "x": box.X - 100, "y": box.Y, "button": "left", "clickCount": 1},
		{"type": "mouseMoved", "x": box.X + 100, "y": box.Y, "button": "left"},
		{"type": "mouseReleased", "x": box.X + 100, "y": box.Y, "button": "left", "clickCount": 1},
	} {
		b.call("Input.dispatchMouseEvent", e, nil)
	}
	b.eval(`new Promise(function (done) { setTimeout(done, 50); })`, nil)
	screenshot(t, b, "charts-zoomed")
	zoomed := over("#run-1 .uplot .u-over")
	middle := regexp.MustCompile(`^(4\.\d+|5\.\d+) – `) // of 10 s, a fifth around the middle is left
	b.move(box.X-500, box.Y)
	var edge string
	b.eval(`document.getElementById('tip').textContent`, &edge)
	if !middle.MatchString(zoomed) || !middle.MatchString(edge) {
		t.Errorf("zoomed in, the middle is at %q and the left at %q", zoomed, edge)
	}

	var said string
	b.eval(`(function () { var c = document.querySelector('.command button'); c.click();
		return new Promise(function (done) { setTimeout(function () { done(c.textContent); }, 200); }); })()`, &said)
	if said != "Copied" && said != "Selected" {
		t.Errorf("the button says %q", said)
	}
	var errors string
	b.eval(`document.documentElement.dataset.errors`, &errors)
	if errors != "0" {
		t.Errorf("%s errors after all that", errors)
	}
}

// testWithoutScripts wants the drawings and tables all there.
func testWithoutScripts(t *testing.T, b *browser) {
	at := place(t, t.TempDir(), "failing", failing())
	media(b, "", "light")
	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	defer b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": false}, nil)
	b.call("Page.navigate", map[string]any{"url": at}, nil)
	b.next("Page.loadEventFired", func(m *message) bool { return m.Method == "Page.loadEventFired" })
	var page struct {
		Errors   *string
		Drawings int
		Curves   int
		Bars     int
		Buttons  int
		Rows     int
	}
	b.eval(`({errors: document.documentElement.dataset.errors || null,
		drawings: [].filter.call(document.querySelectorAll('.plot svg'), function (s) { return s.getBoundingClientRect().height > 80; }).length,
		curves: document.querySelectorAll('.line').length, bars: document.querySelectorAll('.bar').length,
		buttons: document.querySelectorAll('button').length, rows: document.querySelectorAll('.table tbody tr').length})`, &page)
	if page.Errors != nil {
		t.Fatal("scripts ran")
	}
	if page.Drawings != 15 || page.Curves != 9 || page.Bars < 3*64 || page.Buttons != 0 || page.Rows < 3*15 {
		t.Errorf("without scripts: %+v", page)
	}
	screenshot(t, b, "without-scripts")
}

// testErrorsAreNoticed breaks pages: else "no errors" would say nothing.
func testErrorsAreNoticed(t *testing.T, b *browser) {
	dir := t.TempDir()
	text := string(render(t, normal()))
	for name, change := range map[string][2]string{
		"a script that was changed": {"charts.push(", "charts.push( "},
		"a script from elsewhere":   {"</main>", "</main><script src=\"https://example.org/x.js\"></script>"},
		"an image from elsewhere":   {"</main>", "</main><img src=\"https://example.org/x.png\">"},
		"data that do not parse":    {`id="data">[`, `id="data">[,`},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			broken := strings.Replace(text, change[0], change[1], 1)
			if broken == text {
				t.Fatal("nothing was changed")
			}
			path := filepath.Join(dir, "broken.html")
			if err := os.WriteFile(path, []byte(broken), 0o644); err != nil {
				t.Fatal(err)
			}
			said, _ := b.open("file://" + path)
			var errors string
			b.eval(`document.documentElement.dataset.errors`, &errors)
			if errors == "0" || len(said) == 0 {
				t.Errorf("%s errors recorded, the browser reports %q", errors, said)
			}
		})
	}
}
