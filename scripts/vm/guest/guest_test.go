//go:build linux && amd64

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"diostress/scripts/vm/wire"
)

func TestTablesCoverTheWholeDisk(t *testing.T) {
	for _, c := range []struct {
		from uint64
		fail bool
		want []dmTarget
	}{
		{100, false, []dmTarget{{0, 100, "linear", "/dev/x 0"}, {100, 900, "linear", "/dev/x 100"}}},
		{100, true, []dmTarget{{0, 100, "linear", "/dev/x 0"}, {100, 900, "flakey", "/dev/x 100 0 1 1 error_writes"}}},
		{0, true, []dmTarget{{0, 1000, "flakey", "/dev/x 0 0 1 1 error_writes"}}},
	} {
		d := layered{name: "n", dev: "/dev/x", layer: wire.Layer{FailFrom: c.from}, sectors: 1000}
		if got := d.table(c.fail); !reflect.DeepEqual(got, c.want) {
			t.Errorf("from %d, failing %v: %v, want %v", c.from, c.fail, got, c.want)
		}
	}
}

func TestOnlyWhatMayFailIsTurned(t *testing.T) {
	if err := (layers{}).turn("other", true); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("%v", err)
	}
}

// The layout of struct dm_ioctl and struct dm_target_spec, include/uapi/linux/dm-ioctl.h.
func TestDeviceMapperRequest(t *testing.T) {
	b := dmRequest("disk", dmSuspendFlag, []dmTarget{{8, 16, "linear", "/dev/x 8"}, {24, 1, "flakey", "p"}})
	u32 := func(off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
	if u32(0) != 4 || int(u32(12)) != len(b) || u32(16) != dmHeadSize || u32(20) != 2 || u32(28) != dmSuspendFlag || string(b[48:53]) != "disk\x00" {
		t.Errorf("head % x", b[:64])
	}
	first, second := b[dmHeadSize:], b[dmHeadSize+u32(dmHeadSize+20):]
	if binary.LittleEndian.Uint64(first) != 8 || binary.LittleEndian.Uint64(first[8:]) != 16 || string(first[24:31]) != "linear\x00" || string(first[40:49]) != "/dev/x 8\x00" {
		t.Errorf("first target % x", first[:64])
	}
	if binary.LittleEndian.Uint64(second) != 24 || string(second[24:31]) != "flakey\x00" || string(second[40:42]) != "p\x00" {
		t.Errorf("second target % x", second[:64])
	}
}

func TestStatusOfPrograms(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 128 + 15} {
		if got := status(exec.Command("sh", "-c", script).Run()); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
	if got := status(exec.Command("/no/such/program").Run()); got != 127 {
		t.Errorf("no program: %d", got)
	}
}

func TestOverdue(t *testing.T) {
	stop := make(chan struct{})
	select {
	case why := <-overdue(wire.Command{TimeoutSec: 1}, stop):
		if !strings.Contains(why, "1 s") {
			t.Errorf("%q", why)
		}
	case <-time.After(20 * time.Second):
		t.Error("a timeout of 1 s did not come")
	}
	close(stop)
	select {
	case why := <-overdue(wire.Command{}, stop):
		t.Errorf("a command that has ended is overdue: %q", why)
	case <-time.After(50 * time.Millisecond):
	}
}

func TestActsWriteAndComplain(t *testing.T) {
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "serial"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	l := &link{f: out, w: out, frames: true}
	target := filepath.Join(dir, "parameter")
	stop := make(chan struct{})
	act(wire.Act{Path: target, Value: "1"}, stop, l, nil)
	if b, err := os.ReadFile(target); err != nil || string(b) != "1" {
		t.Errorf("%q, %v", b, err)
	}
	act(wire.Act{Fail: "none"}, stop, l, layers{})
	close(stop)
	act(wire.Act{AfterMS: 60_000, Path: target, Value: "2"}, stop, l, nil)
	if b, _ := os.ReadFile(target); string(b) != "1" {
		t.Errorf("an act after the end: %q", b)
	}
	if b, _ := os.ReadFile(out.Name()); !strings.Contains(string(b), "disk none has no part that can fail") {
		t.Errorf("no note: %q", b)
	}
}

func TestNewOutFilesAreTold(t *testing.T) {
	a, b := outFile{"/out/a", info{1, time.Unix(1, 0)}}, outFile{"/out/a", info{2, time.Unix(1, 0)}}
	if a.key() == b.key() {
		t.Errorf("a file that grew is taken for the old one: %s", a.key())
	}
	if fs := (outFiles{a.key(): a}); !fs.has(a.key()) || fs.has(b.key()) {
		t.Error(fmt.Sprint(fs))
	}
}

type info struct {
	size int64
	when time.Time
}

func (i info) Name() string       { return "a" }
func (i info) Size() int64        { return i.size }
func (i info) Mode() os.FileMode  { return 0o644 }
func (i info) ModTime() time.Time { return i.when }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }

func TestWhatTheInitramfsBroughtIsNotHidden(t *testing.T) {
	dir := t.TempDir()
	if holds(dir) || holds(filepath.Join(dir, "none")) {
		t.Error("an empty directory holds something")
	}
	if err := os.Mkdir(filepath.Join(dir, "repository"), 0o755); err != nil {
		t.Fatal(err)
	}
	if !holds(dir) {
		t.Error("a directory with a repository in it holds nothing")
	}
}
