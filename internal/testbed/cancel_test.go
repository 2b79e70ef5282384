package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// tripwire is a context that ends when it has been asked a number of times.
type tripwire struct {
	context.Context
	left atomic.Int64
}

func (c *tripwire) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestCancelAtEveryStage: wherever Open looks, it stops and leaves nothing.
func TestCancelAtEveryStage(t *testing.T) {
	machine(t)
	// Block-mapped files have no fallocate, so that writing zeros is a stage.
	dir := open(t, Spec{FS: "ext3"}).Dir()
	before := leftovers(t, os.Getpid(), dir)
	stages := 0
	for n := int64(0); ; n++ {
		ctx := &tripwire{Context: t.Context()}
		ctx.left.Store(n)
		b, err := Open(ctx, Spec{ImageDir: dir, Size: 16 << 20})
		if err == nil {
			must(t, b.Close())
			break
		}
		stages++
		if !errors.Is(err, context.Canceled) || classOf(err) != "broken" {
			t.Fatalf("ended at look %d: %v", n, err)
		}
		if left := leftovers(t, os.Getpid(), dir); !slices.Equal(left, before) {
			t.Errorf("ended at look %d: left %q, before %q", n, left, before)
		}
	}
	if stages < 10 {
		t.Errorf("Open looks at its context %d times only", stages)
	}
}

// TestCancelStopsMkfs that would go on for ever, with what it started.
func TestCancelStopsMkfs(t *testing.T) {
	machine(t)
	pids := filepath.Join(t.TempDir(), "pid")
	real, err := findTool("mke2fs")
	must(t, err)
	for name, only := range map[string]string{"the dry run": "-n", "the real one": "/dev/loop"} {
		os.Remove(pids)
		script(t, "mke2fs", fmt.Sprintf(`case "$*" in
*%s*) sleep 1000 & echo $! > %s.new; mv %s.new %s; wait ;;
esac
exec %s "$@"`, only, pids, pids, pids, real))
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		done := make(chan error, 1)
		go func() {
			_, err := Open(ctx, Spec{})
			done <- err
		}()
		until(t, name+" of mke2fs", func() bool { _, err := os.Stat(pids); return err == nil })
		cancel(cause)
		select {
		case err := <-done:
			if !errors.Is(err, cause) || classOf(err) != "broken" {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: Open goes on", name)
		}
		until(t, "what mke2fs started is gone", func() bool { return gone(pids) })
		nothingLeft(t, os.Getpid())
	}
}

// TestCancelAfterOpen is without effect.
func TestCancelAfterOpen(t *testing.T) {
	machine(t)
	ctx, cancel := context.WithCancel(t.Context())
	b, err := Open(ctx, Spec{})
	must(t, err)
	cancel()
	writeDirect(t, filepath.Join(b.Dir(), "file"), 1)
	if !unmounted(t, b).Clean {
		t.Error("not clean")
	}
	must(t, b.Remount())
	must(t, b.Close())
}

// TestOpenThatFailsLateLeavesNothing: mke2fs or the mount breaks.
func TestOpenThatFailsLateLeavesNothing(t *testing.T) {
	machine(t)
	real, err := findTool("mke2fs")
	must(t, err)
	for _, c := range []struct{ body, text string }{
		{"echo no luck >&2; exit 7", "exit status 7: no luck"},
		{"kill -9 $$", "signal: killed"},
		{"exit 0", "kernel log: "}, // has made nothing that could be mounted
	} {
		script(t, "mke2fs", fmt.Sprintf("case \"$*\" in\n*/dev/loop*) %s ;;\nesac\nexec %s \"$@\"", c.body, real))
		_, err := Open(t.Context(), Spec{})
		wants(t, err, "broken", c.text)
		nothingLeft(t, os.Getpid())
	}
}
