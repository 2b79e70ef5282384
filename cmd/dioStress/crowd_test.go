package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKeepBusyEndsWithItsParent: whoever is killed leaves no processor busy.
func TestKeepBusyEndsWithItsParent(t *testing.T) {
	c := crowder(0)
	// The shell is the parent, tells the process that it started, and ends.
	sh := exec.Command("sh", "-c", "\"$0\" \"$@\" >/dev/null 2>&1 & echo $!; sleep 0.2", c.Path, c.Args[1], c.Args[2])
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sh.Args[3] = self // /proc/self is the shell there
	out, err := sh.Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatalf("the shell said %q", out)
	}
	for end := time.Now().Add(10 * time.Second); unix.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			unix.Kill(pid, unix.SIGKILL)
			t.Fatal("it outlives its parent")
		}
	}
}

func TestKeepBusyOfNoProcessor(t *testing.T) {
	for _, cpu := range []string{"", "x", "1000"} {
		status, stdout, stderr := call(keepBusyCommand, cpu)
		if status != exitBroken || stdout != "" || !strings.Contains(stderr, keepBusyCommand) {
			t.Errorf("%q: status %d, %q, %q", cpu, status, stdout, stderr)
		}
	}
}
