package need

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDemanded(t *testing.T) {
	for _, c := range []struct {
		list, name string
		want       bool
		err        string
	}{
		{"", Root, false, ""},
		{"root", Root, true, ""},
		{"root", LibAIO, false, ""},
		{"io_uring, root ,libaio", Root, true, ""},
		{"root,", Tool, false, ""},
		{"rooot", Tool, false, `"rooot" is not known; valid: root, io_uring`},
		{"root,libaio tool", Root, false, `"libaio tool" is not known`},
		{"", "rooot", false, `need "rooot" is none of root, io_uring`},
	} {
		got, err := demanded(c.list, c.name)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("demanded(%q, %q) = %v, %v; want %v and an error with %q", c.list, c.name, got, err, c.want, c.err)
		}
	}
}

// outcome is a test that only remembers how it ended.
type outcome struct {
	testing.TB
	failed, skipped string
}

func (o *outcome) Helper()      {}
func (o *outcome) Name() string { return "TestOf/one" }
func (o *outcome) Fatal(args ...any) {
	o.failed = fmt.Sprint(args...)
	runtime.Goexit()
}
func (o *outcome) Fatalf(format string, args ...any) {
	o.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
func (o *outcome) Skipf(format string, args ...any) {
	o.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func ending(name, reason string) *outcome {
	o, done := &outcome{}, make(chan struct{})
	go func() {
		defer close(done)
		Skip(o, name, reason)
	}()
	<-done
	return o
}

func TestSkipEndsTheTest(t *testing.T) {
	counted := filepath.Join(t.TempDir(), "skips")
	t.Setenv(SkipsVar, counted)
	t.Setenv(RequireVar, "libaio,tool")
	for _, c := range []struct{ name, failed, skipped string }{
		{Root, "", "need root: it\nis\tso"},
		{VM, "", "need vm: it\nis\tso"},
		{LibAIO, "need libaio (required here): it\nis\tso", ""},
		{"lib", `need "lib" is none of`, ""},
	} {
		o := ending(c.name, "it\nis\tso")
		if !strings.HasPrefix(o.failed, c.failed) || (o.failed == "") != (c.failed == "") || o.skipped != c.skipped {
			t.Errorf("%s: failed %q, skipped %q", c.name, o.failed, o.skipped)
		}
	}
	b, err := os.ReadFile(counted)
	if want := "root\tTestOf/one\tit is so\nvm\tTestOf/one\tit is so\n"; err != nil || string(b) != want {
		t.Errorf("counted %q, %v; want %q", b, err, want)
	}
	t.Setenv(SkipsVar, filepath.Join(counted, "no directory"))
	if o := ending(Root, "x"); o.skipped != "" || !strings.Contains(o.failed, "could not be counted") {
		t.Errorf("a skip that cannot be counted: failed %q, skipped %q", o.failed, o.skipped)
	}
}

func TestAloneExcludes(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	path := filepath.Join(os.TempDir(), "diostress-test.lock")
	held := func() bool {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case nil:
			return false
		case unix.EWOULDBLOCK:
			return true
		default:
			t.Fatal(err)
			return false
		}
	}
	second := make(chan struct{})
	t.Run("first", func(t *testing.T) {
		Alone(t)
		if !held() {
			t.Error("the lock is free while a test runs alone")
		}
		go func() {
			defer close(second)
			f, err := lockFile(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			for unix.Flock(int(f.Fd()), unix.LOCK_EX) == unix.EINTR {
			}
		}()
		select {
		case <-second:
			t.Error("two hold the lock")
		case <-time.After(20 * time.Millisecond):
		}
	})
	<-second
	if held() {
		t.Error("the lock outlives the tests")
	}
}
