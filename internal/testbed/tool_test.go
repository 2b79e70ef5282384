package testbed

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunTool(t *testing.T) {
	for _, c := range []struct {
		body string
		exit int
		out  string
		err  string
	}{
		{"echo one; echo two >&2", 0, "one\ntwo", ""},
		{"exit 7", 7, "", ""},
		{"echo $LC_ALL", 0, "C", ""},
		{"cat", 0, "", ""}, // its input is empty
		{"echo bad; kill -SEGV $$", -1, "bad", "segmentation fault"},
		{"read x <&3; echo $x", 0, "given", ""},
	} {
		r, w, err := os.Pipe()
		must(t, err)
		w.WriteString("given\n")
		w.Close()
		res, err := runTool(t.Context(), "/bin/sh", []string{"-c", c.body}, r)
		r.Close()
		if res.exit != c.exit || res.output != c.out || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %+v, %v", c.body, res, err)
		}
	}
	if _, err := runTool(t.Context(), "/no/such/tool", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tool that is not there: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	if _, err := runTool(ctx, "/bin/true", nil); err == nil || !strings.Contains(err.Error(), "true was stopped: enough") {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestFindTool(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "diostress-tool"), []byte("#!/bin/sh\n"), 0o755))
	t.Setenv("PATH", "/nowhere:"+dir)
	if p, err := findTool("diostress-tool"); err != nil || p != filepath.Join(dir, "diostress-tool") {
		t.Errorf("%q, %v", p, err)
	}
	t.Setenv("PATH", "")
	_, err := findTool("diostress-tool")
	wants(t, err, "unsupported", "diostress-tool is not installed", "/usr/sbin", "apt-get install e2fsprogs")
}

func TestFindMkfs(t *testing.T) {
	for version, v147 := range map[string]bool{
		"mke2fs 1.47.0 (5-Feb-2023)": true, "mke2fs 1.46.5 (30-Dec-2021)": false, "mke2fs 1.45.6": false,
		"mke2fs 2.0": true, "mke2fs 1.100-WIP": true, "mke2fs 0.99": false,
	} {
		script(t, "mke2fs", "echo '"+version+"' >&2")
		m, err := findMkfs(t.Context())
		if err != nil || m.v147 != v147 {
			t.Errorf("%s: %+v, %v", version, m, err)
		}
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{"ext5": "ext3", "bigalloc": "bigalloc_1k", "EXT4": "ext4", "nojurnal": "nojournal", "": "", "zfs": "", "datajournal": "data_journal", "4": "4k"} {
		if got := nearest(word, append(FSNames(), ConfigNames()...)); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
