package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"diostress/internal/need"
)

func TestCheckerCallsEIOTheRace(t *testing.T) {
	var c checker
	for _, res := range []int64{writeSize, -int64(unix.EIO), writeSize} {
		c.check(res)
	}
	if c.why != "" || c.eio != 1 || c.writes != 3 {
		t.Errorf("%+v", c)
	}
	for _, res := range []int64{writeSize - 512, 0, -int64(unix.ENOTBLK), writeSize + 1} {
		c := checker{}
		if c.check(res); c.why == "" {
			t.Errorf("result %d passes", res)
		}
	}
}

func TestRaceOnThisKernel(t *testing.T) {
	need.Alone(t)
	dir := t.TempDir()
	probe, err := unix.Open(filepath.Join(dir, "probe"), unix.O_CREAT|unix.O_WRONLY|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		need.Skip(t, need.LibAIO, "no O_DIRECT in "+dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(probe)
	out := filepath.Join(dir, "out.json")
	var stdout, stderr bytes.Buffer
	if status := run([]string{"-dir", dir, "-seconds", "0.2", "-out", out}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s%s", status, &stdout, &stderr)
	}
	var o Outcome
	b, err := os.ReadFile(out)
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil || o.Verdict != "pass" || o.Writes == 0 || o.Buffered == 0 {
		t.Errorf("%s: %v", b, err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-seconds", "0"}, {"extra"}, {"-no-such-flag"}} {
		var stdout, stderr bytes.Buffer
		if status := run(args, &stdout, &stderr); status != 2 || stdout.Len() > 0 || stderr.Len() == 0 {
			t.Errorf("%s: status %d, %q", strings.Join(args, " "), status, &stderr)
		}
	}
}
