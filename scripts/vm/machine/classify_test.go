package machine

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"diostress/scripts/vm/wire"
)

func rcOf(end wire.GuestEnd, status int) int { return int(wire.ExitValue(end, status))<<1 | 1 }

func TestClassifyOfCannedConsoles(t *testing.T) {
	healthy := "boot.log"
	for _, c := range []struct {
		name    string
		console string
		end     ending
		want    State
		detail  string
		oops    int
	}{
		{"finished", healthy, ending{rc: rcOf(wire.EndFinished, 0), booted: true}, Finished, "", 0},
		{"finished with a status", healthy, ending{rc: rcOf(wire.EndFinished, 7), booted: true}, Finished, "", 0},
		{"finished, but the kernel complained", "refcount.log", ending{rc: rcOf(wire.EndFinished, 1), booted: true}, Finished, "", 2},
		{"panic", "panic.log", ending{rc: 0, booted: true}, Panic, "Kernel panic - not syncing: Out of memory", 0},
		{"oops", "oops.log", ending{rc: 0, booted: true}, Oops, "BUG: kernel NULL pointer dereference", 2},
		{"panic_on_warn", "warn.log", ending{rc: 0, booted: true}, Oops, "refcount_t: underflow; use-after-free.", 2},
		{"poison", "poison.log", ending{rc: 0, booted: true}, Oops, "general protection fault", 2},
		{"reset after an oops", "refcount.log", ending{rc: 0, booted: true}, Oops, "refcount_t: underflow", 2},
		{"reset", healthy, ending{rc: 0, booted: true}, Panic, "reset without a word", 0},
		{"hang", "hang.log", ending{rc: rcOf(wire.EndTimeout, 0), booted: true}, Hang, "timeout in the guest", 1},
		{"killed by the host", healthy, ending{rc: -1, hostLimit: true, limit: time.Minute, booted: true}, HostTimeout, "killed after 1m0s", 0},
		{"never booted: silent", "silent.log", ending{rc: -1, hostLimit: true, limit: time.Minute}, NeverBooted, "no user space after 1m0s", 0},
		{"never booted: no root", "noroot.log", ending{rc: 0}, NeverBooted, "Unable to mount root fs", 0},
		{"never booted: reset", "silent.log", ending{rc: 0}, NeverBooted, "reset before user space", 0},
		{"init gave up", healthy, ending{rc: rcOf(wire.EndInitFailed, 0), booted: true, notes: []string{"no disk"}}, GuestFailed, "no disk", 0},
		{"qemu's own failure", "silent.log", ending{rc: 1, qemuLog: "could not open disk image"}, QEMUFailed, "could not open disk image", 0},
		{"qemu without a message", "silent.log", ending{rc: 2}, QEMUFailed, "no message", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			console, err := os.ReadFile(filepath.Join("testdata", c.console))
			if err != nil {
				t.Fatal(err)
			}
			state, detail, oops := classify(c.end, string(console))
			if state != c.want || !strings.Contains(detail, c.detail) {
				t.Errorf("%s: %q; want %s: ...%s...", state, detail, c.want, c.detail)
			}
			if len(oops) != c.oops {
				t.Errorf("lines of a broken kernel: %q; want %d", oops, c.oops)
			}
		})
	}
}

func TestExitStatusTellsTheStatesApart(t *testing.T) {
	want := map[State]int{
		Finished: 42, Panic: 1, Oops: 1, Hang: 124,
		HostTimeout: 3, NeverBooted: 3, GuestFailed: 3, QEMUFailed: 3,
	}
	for s, status := range want {
		if got := s.ExitStatus(42); got != status {
			t.Errorf("%s: exit status %d, want %d", s, got, status)
		}
	}
}

func TestOopsLinesOfAHealthyBoot(t *testing.T) {
	for _, line := range []string{
		"[    0.000000] Command line: console=ttyS0 panic=-1 oops=panic panic_on_warn=1",
		"[    0.1] Spectre V2 : Vulnerable",
		"[    1.2] EXT4-fs (nvme0n1): mounted filesystem with ordered data mode.",
		"[    1.5] retfault: loading out-of-tree module taints kernel.",
		"[    2.0] Page cache invalidation failure on direct I/O.  Possible data corruption due to collision with buffered I/O!",
		"[    2.0] critical medium error, dev nvme1n1, sector 2048 op 0x1:(WRITE)",
		"[    3.0] sysrq: Show Blocked State",
	} {
		if got := OopsLines(line); len(got) != 0 {
			t.Errorf("%q is taken for a broken kernel's", line)
		}
	}
	if got := OopsLines(strings.Repeat("[ 1.0] BUG: x\n", 100)); len(got) != 20 || got[0] != "BUG: x" {
		t.Errorf("%d lines, the first %q", len(got), got[0])
	}
}

func TestParseAccel(t *testing.T) {
	for in, want := range map[string]Accel{"auto": "", "kvm": KVM, "tcg": TCG} {
		if got, err := ParseAccel(in); got != want || err != nil {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	if _, err := ParseAccel("xen"); err == nil || !strings.Contains(err.Error(), `"xen"`) || !strings.Contains(err.Error(), "auto, kvm, tcg") {
		t.Errorf("xen: %v", err)
	}
}

func TestCommandLine(t *testing.T) {
	c := Config{Accel: TCG, Kernel: "K", Initrd: "I", Poison: true, Fatal: true, MemoryMB: 512, CPUs: 2, Cmdline: []string{"extra=1"},
		Disks: []Disk{{Serial: "test", Path: "t.img", WriteIOPS: 500}, {Serial: "bad", Path: "b.img", Rules: "b.rules"}}}
	line := strings.Join(c.args("con", "res"), " ")
	for _, want := range []string{
		"panic_on_warn=1", "oops=panic", "slub_debug=FZPU,aio_kiocb", "extra=1", "-accel tcg,thread=multi", "-cpu Nehalem", "serial=results", "serial=test",
		"throttling.iops-write=500", "driver=blkdebug", "config=b.rules", "file:con", "isa-debug-exit,iobase=0xf4",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %s", want, line)
		}
	}
	c.OneThread = true
	if line := strings.Join(c.args("con", "res"), " "); !strings.Contains(line, "-accel tcg,thread=single") {
		t.Errorf("OneThread: %s", line)
	}
	c.Poison, c.Fatal, c.Accel = false, false, KVM
	line = strings.Join(c.args("con", "res"), " ")
	for _, not := range []string{"panic_on_warn", "oops=panic", "slub_debug", "Nehalem"} {
		if strings.Contains(line, not) {
			t.Errorf("%q is in %s", not, line)
		}
	}
}

func TestFramesFillTheResult(t *testing.T) {
	var r Result
	r.frame(wire.FrameBooted, []byte(`{"release":"6.1.0","uptime_sec":1.5}`))
	r.frame(wire.FrameBegin, []byte(`{"name":"a"}`))
	r.frame(wire.FrameEnd, []byte(`{"name":"a","status":3,"seconds":2}`))
	r.frame(wire.FrameBegin, []byte(`{"name":"b"}`))
	r.frame(wire.FrameNote, []byte(`"no disk"`))
	r.frame(wire.FrameEnd, []byte(`{"name":`)) // cut off
	if r.Booted == nil || r.Booted.Release != "6.1.0" {
		t.Errorf("booted: %+v", r.Booted)
	}
	if want := []wire.Ended{{Name: "a", Status: 3, Seconds: 2}}; !reflect.DeepEqual(r.Ended, want) {
		t.Errorf("ended: %+v", r.Ended)
	}
	if r.Running == nil || r.Running.Name != "b" {
		t.Errorf("running: %+v", r.Running)
	}
	if !reflect.DeepEqual(r.Notes, []string{"no disk"}) {
		t.Errorf("notes: %q", r.Notes)
	}
}
