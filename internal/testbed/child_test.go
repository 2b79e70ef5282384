package testbed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVar holds an order for a process that is this test program again.
const childVar = "DIOSTRESS_TESTBED_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVar); text != "" {
		os.Unsetenv(childVar)
		os.Exit(childMain(text))
	}
	os.Exit(m.Run())
}

// order is what a child is to do: hide things first, then act.
type order struct {
	Cover []string // directories that get an empty tmpfs, in a mount namespace of its own
	Act   string   // open, check, place, hold, mount, clean
	Spec  Spec
	Path  string // hold: opened; mount: device; place: nothing
	Flags int    // hold: of open(2)
	Size  int64  // place
}

// answer is what became of it.
type answer struct {
	State state // open
	Dir   string
	Dev   string // open: device
	Text  string // place, clean
	Err   string // "" if it worked
	Class string // usage, unsupported, broken
}

// childMain answers, and ends when its standard input does.
func childMain(text string) int {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	a, end := o.do()
	b, err := json.Marshal(a)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("%s\n", b)
	io.Copy(io.Discard, os.Stdin)
	if err := end(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (o *order) do() (a answer, end func() error) {
	end = func() error { return nil }
	err := o.cover()
	if err == nil {
		switch o.Act {
		case "open":
			var b *Bed
			if b, err = Open(context.Background(), o.Spec); err == nil {
				a.State, a.Dir, a.Dev, end = b.entry.state, b.Dir(), b.device, b.Close
			}
		case "check":
			err = Check(o.Spec)
		case "place":
			a.Text, err = placeImage(o.Spec.ImageDir, o.Size)
		case "hold":
			_, err = openRetry(o.Path, o.Flags, 0)
		case "mount":
			err = errors.Join(os.Mkdir("/tmp/m", 0o700), unix.Mount(o.Path, "/tmp/m", "ext4", 0, ""))
		case "clean":
			var w strings.Builder
			_, err = Clean(&w)
			a.Text = w.String()
		default:
			err = fmt.Errorf("no act %q", o.Act)
		}
	}
	if err != nil {
		a.Err, a.Class = err.Error(), classOf(err)
	}
	return a, end
}

// cover works in a mount namespace that the parent made for it.
func (o *order) cover() error {
	if len(o.Cover) == 0 {
		return nil
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	for _, dir := range o.Cover {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=16m,mode=1777"); err != nil {
			return fmt.Errorf("cover %s: %w", dir, err)
		}
		if dir == "/dev" {
			if err := unix.Mknod("/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
				return err
			}
		}
	}
	return nil
}

func classOf(err error) string {
	switch {
	case errors.Is(err, ErrUsage) && errors.Is(err, ErrUnsupported):
		return "both usage and unsupported"
	case errors.Is(err, ErrUsage):
		return "usage"
	case errors.Is(err, ErrUnsupported):
		return "unsupported"
	}
	return "broken"
}

// child is a process that has answered and waits.
type child struct {
	answer
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
	err strings.Builder
}

// start runs an order. env is added to the environment; edit may be nil.
func start(t *testing.T, o order, edit func(*exec.Cmd)) *child {
	t.Helper()
	c := begin(t, o, edit)
	line, err := c.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.answer)
	}
	if err != nil {
		t.Fatalf("child %s: %v: %s", o.Act, err, c.err.String())
	}
	return c
}

// begin runs an order and does not wait for the answer.
func begin(t *testing.T, o order, edit func(*exec.Cmd)) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command("/proc/self/exe")}
	c.cmd.Env = append(os.Environ(), childVar+"="+string(text))
	c.cmd.Stderr = &c.err
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if len(o.Cover) > 0 {
		c.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	}
	if edit != nil {
		edit(c.cmd)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends the child as an operator or the OOM killer would. Again is
// without effect.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.in.Close()
	c.cmd.Wait()
}

// finish lets the child end by itself.
func (c *child) finish(t *testing.T) {
	t.Helper()
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("child: %v: %s", err, c.err.String())
	}
}

// once runs an order to its end and returns the answer.
func once(t *testing.T, o order, edit func(*exec.Cmd)) answer {
	t.Helper()
	c := start(t, o, edit)
	c.finish(t)
	return c.answer
}

// nobody runs the child without root's rights, in a directory it may read.
func nobody(cmd *exec.Cmd) {
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	cmd.Dir = "/"
}

// setenv replaces a variable of the child's environment.
func setenv(name, value string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, name+"="+value) }
}

// until waits for what must come soon.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10s: %s", what)
		}
	}
}
