package page

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"diostress/internal/need"
)

// browser is a headless Chromium that is spoken to through two pipes: commands
// and events are JSON messages that end with a zero byte.
type browser struct {
	t       *testing.T
	in      *os.File
	events  chan message
	session string
	id      int
	seen    []message // events that nobody has asked for yet
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// startBrowser skips the test where there is no Chromium. The browser dies
// with the test.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		need.Skip(t, need.Browser, "no chromium, chromium-browser or google-chrome on PATH")
	}
	theirIn, in := pipe(t)
	out, theirOut := pipe(t)
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4, as the browser expects
	log := &bytes.Buffer{}
	cmd.Stderr = log
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, in: in, events: make(chan message, 1024)}
	go b.read(out)
	t.Cleanup(func() {
		b.session = ""
		if err := b.send("Browser.close", nil); err != nil {
			cmd.Process.Kill()
		}
		killer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		killer.Stop()
		in.Close()
		out.Close()
		if t.Failed() {
			for line := range strings.Lines(log.String()) {
				if !strings.Contains(line, "dbus") { // a test machine has no desktop
					t.Logf("the browser said: %s", line)
				}
			}
		}
	})
	var target struct {
		TargetID string `json:"targetId"`
	}
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct {
		SessionID string `json:"sessionId"`
	}
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	b.laptop()
	return b
}

// laptop gives the window the size of a small laptop's screen.
func (b *browser) laptop() {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1366, "height": 768, "deviceScaleFactor": 1, "mobile": false}, nil)
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

func (b *browser) read(out io.Reader) {
	defer close(b.events)
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(line[:len(line)-1], &m) == nil {
			b.events <- m
		}
	}
}

func (b *browser) send(method string, params any) error {
	b.id++
	m := map[string]any{"id": b.id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if b.session != "" {
		m["sessionId"] = b.session
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = b.in.Write(append(text, 0))
	return err
}

// call sends a command and reads its result into out.
func (b *browser) call(method string, params, out any) {
	b.t.Helper()
	if err := b.send(method, params); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	m := b.next(method, func(m *message) bool { return m.ID == b.id })
	if m.Error != nil {
		b.t.Fatalf("%s: %s", method, m.Error.Message)
	}
	if out != nil {
		if err := json.Unmarshal(m.Result, out); err != nil {
			b.t.Fatalf("%s: %v in %.200s", method, err, m.Result)
		}
	}
}

// next waits for a message and keeps the events before it.
func (b *browser) next(what string, is func(*message) bool) message {
	b.t.Helper()
	late := time.After(60 * time.Second)
	for {
		select {
		case m, open := <-b.events:
			if !open {
				b.t.Fatalf("the browser went away during %s", what)
			}
			if is(&m) {
				return m
			}
			if m.ID == 0 {
				b.seen = append(b.seen, m)
			}
		case <-late:
			b.t.Fatalf("no answer to %s in a minute", what)
		}
	}
}

// open loads a page and returns what went wrong in it and what it asked the
// network for, as the browser tells.
func (b *browser) open(url string) (errors, requests []string) {
	b.t.Helper()
	b.seen = nil
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.next("Page.loadEventFired", func(m *message) bool { return m.Method == "Page.loadEventFired" })
	// What the page put off until after its load has run once a timer has.
	b.eval(`new Promise(function (done) { setTimeout(done, 50); })`, nil)
	for _, m := range b.seen {
		switch m.Method {
		case "Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled":
			errors = append(errors, fmt.Sprintf("%s: %.400s", m.Method, m.Params))
		case "Network.requestWillBeSent":
			var p struct {
				Request struct{ URL string } `json:"request"`
			}
			if err := json.Unmarshal(m.Params, &p); err != nil {
				b.t.Fatal(err)
			}
			requests = append(requests, p.Request.URL)
		}
	}
	return errors, requests
}

// eval runs an expression in the page and reads its value.
func (b *browser) eval(expression string, out any) {
	b.t.Helper()
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception json.RawMessage `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true}, &r)
	if len(r.Exception) > 0 {
		b.t.Fatalf("%s: %.400s", expression, r.Exception)
	}
	if out != nil {
		if err := json.Unmarshal(r.Result.Value, out); err != nil {
			b.t.Fatalf("%s: %v in %.200s", expression, err, r.Result.Value)
		}
	}
}

// file calls a command whose result is a file in base64.
func (b *browser) file(method string, params any) []byte {
	b.t.Helper()
	var r struct {
		Data string `json:"data"`
	}
	b.call(method, params, &r)
	raw, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	return raw
}

// move puts the pointer at a place in the window.
func (b *browser) move(x, y float64) {
	b.t.Helper()
	b.call("Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": x, "y": y}, nil)
}
