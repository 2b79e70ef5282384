package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

// machine prepares a test that makes real file systems: it has the machine to
// itself, and what it leaves of them is an error.
func machine(t *testing.T) {
	t.Helper()
	need.RootUser(t)
	need.Alone(t)
	needTools(t)
	tidy(t)
}

// needTools asks for e2fsprogs.
func needTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"mke2fs", "e2fsck"} {
		if _, err := findTool(tool); err != nil {
			need.Skip(t, need.Tool, err.Error())
		}
	}
}

// tidy checks at the end of the test that this process has left nothing.
func tidy(t *testing.T) {
	t.Helper()
	before := openFiles(t)
	t.Cleanup(func() {
		nothingLeft(t, os.Getpid())
		after := openFiles(t)
		for name, n := range after {
			if n > before[name] {
				t.Errorf("descriptors of %s: %d, were %d", name, n, before[name])
			}
		}
	})
}

// openFiles counts the descriptors of this process by what they lead to,
// without those of the Go runtime and of pipes to children that are gone.
func openFiles(t *testing.T) map[string]int {
	t.Helper()
	count := map[string]int{}
	for _, fd := range descriptors("/proc/self") {
		to, err := os.Readlink("/proc/self/fd/" + fd)
		if err == nil && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/proc/") {
			count[to]++
		}
	}
	return count
}

// leftovers lists what a process has made and what is still there: mounts,
// loop devices, images, directories, records.
func leftovers(t *testing.T, pid int, dirs ...string) []string {
	t.Helper()
	var left []string
	records := fmt.Sprintf("%d-", pid)
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range stateBases() {
		for line := range strings.Lines(string(info)) {
			if strings.Contains(line, " "+base+"/"+records) {
				left = append(left, "mount "+strings.TrimSpace(line))
			}
		}
		left = append(left, entriesWith(base, records)...)
	}
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if backing := readFact(f); strings.Contains(backing, "/"+imagePrefix(pid)) {
			left = append(left, "loop device "+f+" over "+backing)
		}
	}
	for _, dir := range append(dirs, "/dev/shm", os.TempDir()) {
		left = append(left, entriesWith(dir, imagePrefix(pid))...)
		left = append(left, entriesWith(dir, subdirPrefix(pid))...)
	}
	return left
}

func entriesWith(dir, prefix string) (list []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			list = append(list, filepath.Join(dir, e.Name()))
		}
	}
	return list
}

func nothingLeft(t *testing.T, pid int, dirs ...string) {
	t.Helper()
	for _, x := range leftovers(t, pid, dirs...) {
		t.Errorf("left by process %d: %s", pid, x)
	}
}

// open makes a bed that the test closes at its end at the latest.
func open(t *testing.T, s Spec) *Bed {
	t.Helper()
	b, err := Open(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unmounted unmounts and returns what e2fsck says.
func unmounted(t *testing.T, b *Bed) FsckResult {
	t.Helper()
	must(t, b.Unmount())
	res, err := b.Fsck(context.Background())
	if err != nil {
		t.Fatalf("%v: %s", err, res.Output)
	}
	return res
}

// wants checks an error's class and that its text names all of the words.
func wants(t *testing.T, err error, class string, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want %s with %q", class, words)
		return
	}
	wantsText(t, err.Error(), classOf(err), class, words...)
}

func wantsText(t *testing.T, text, got, class string, words ...string) {
	t.Helper()
	if got != class {
		t.Errorf("class %s, want %s: %s", got, class, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q lacks %q", text, w)
		}
	}
}

// rawLoop attaches a loop device of the test's own, as if it were a disk.
func rawLoop(t *testing.T, size int64, flags uint32) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(size))
	return attachRaw(t, f, flags)
}

func attachRaw(t *testing.T, f *os.File, flags uint32) string {
	t.Helper()
	control, err := openRetry("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(control)
	for range 100 {
		n, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		must(t, err)
		dev := fmt.Sprintf("/dev/loop%d", n)
		fd, err := openRetry(dev, unix.O_RDWR|unix.O_CLOEXEC, 0)
		must(t, err)
		info := unix.LoopInfo64{Flags: flags}
		err = configureLoop(fd, int(f.Fd()), &info)
		unix.Close(fd)
		if err == unix.EBUSY {
			continue
		}
		must(t, err)
		t.Cleanup(func() {
			fd, err := openRetry(dev, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				err = errors.Join(unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0), unix.Close(fd))
			}
			if err != nil {
				t.Errorf("detach %s: %v", dev, err)
			}
			// With another opener it detaches a moment later.
			for end := time.Now().Add(5 * time.Second); readFact("/sys/block/"+filepath.Base(dev), "loop/backing_file") != ""; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Errorf("%s stays attached", dev)
					return
				}
			}
		})
		return dev
	}
	t.Fatal("no free loop device")
	return ""
}

// ownTmpfs mounts a file system in memory, tmpfs or ramfs.
func ownTmpfs(t *testing.T, fs, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, unix.Mount("none", dir, fs, 0, options))
	t.Cleanup(func() { must(t, unmountRetry(dir, 5*time.Second)) })
	return dir
}

// script puts a program of that name first in PATH.
func script(t *testing.T, name, body string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

// gone says whether the process whose number is in the file has ended.
func gone(pidFile string) bool {
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return false
	}
	letter, _, err := procStart(atoi(strings.TrimSpace(string(b))))
	return err != nil || letter == 'Z' || letter == 'X'
}

func atoi(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}

// sorted is for comparing lists without an order.
func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
