package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patch writes to the device of an unmounted bed.
func patch(t *testing.T, b *Bed, off int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(b.device, os.O_RDWR|os.O_SYNC, 0)
	must(t, err)
	_, err = f.WriteAt(data, off)
	must(t, errors.Join(err, f.Close()))
}

// rootInode returns where inode 2 lies on the device, and its size.
func rootInode(t *testing.T, b *Bed) (off, size int64) {
	t.Helper()
	sb := superblock(t, b.device)
	le := binary.LittleEndian
	block := int64(1024) << le.Uint32(sb[0x18:])
	size = int64(le.Uint16(sb[0x58:]))
	f, err := os.Open(b.device)
	must(t, err)
	defer f.Close()
	group := make([]byte, 32) // descriptor of group 0, in the block after the superblock's
	_, err = f.ReadAt(group, block*(int64(le.Uint32(sb[0x14:]))+1))
	must(t, err)
	return int64(le.Uint32(group[8:]))*block + size, size
}

func TestFsckFindsDamage(t *testing.T) {
	for _, s := range []Spec{{}, {FS: "ext3"}, {Config: "nojournal"}} {
		t.Run(s.FS+s.Config, func(t *testing.T) {
			machine(t)
			b := open(t, s)
			writeDirect(t, filepath.Join(b.Dir(), "file"), 10)
			if res := unmounted(t, b); !res.Clean {
				t.Fatalf("before the damage: %+v", res)
			}
			off, size := rootInode(t, b)
			patch(t, b, off, make([]byte, size))
			for range 2 { // the check itself repairs nothing
				res, err := b.Fsck(context.Background())
				if err != nil || !res.Ran || res.Clean || res.ExitCode&4 == 0 || res.Unreplayed ||
					!strings.Contains(res.Why, "found errors in "+b.device) || !strings.Contains(strings.ToLower(res.Output), "root inode") {
					t.Errorf("fsck without a root directory: %+v, %v", res, err)
				}
			}
			// What cannot be read as a file system is not "not clean".
			patch(t, b, 0, make([]byte, b.plan.size))
			res, err := b.Fsck(context.Background())
			if err == nil || res.Ran || res.Clean || res.ExitCode != 8 || !strings.Contains(res.Why, "exit status 8") {
				t.Errorf("fsck of zeros: %+v, %v", res, err)
			}
			if err := b.Remount(); err == nil || !strings.Contains(err.Error(), b.device) || !strings.Contains(err.Error(), "kernel log: ") {
				t.Errorf("mount of zeros: %v", err)
			}
		})
	}
}

// TestFsckThatFails: what e2fsck did not find out is not known.
func TestFsckThatFails(t *testing.T) {
	machine(t)
	b := open(t, Spec{Config: "nojournal"})
	must(t, b.Unmount())
	for _, c := range []struct {
		body string
		exit int
		ran  bool
		text string
	}{
		{"exit 0", 0, true, ""},
		{"echo found it; exit 4", 4, true, "found errors"},
		{"exit 1", 1, true, "found errors"},
		{"echo bad >&2; exit 8", 8, false, "exit status 8: bad"},
		{"exit 12", 12, true, "found errors"},
		{"exit 16", 16, false, "exit status 16"},
		{"exit 32", 32, false, "exit status 32"},
		{"kill -9 $$", -1, false, "signal: killed"},
	} {
		script(t, "e2fsck", c.body)
		res, err := b.Fsck(context.Background())
		if res.Ran != c.ran || (err == nil) != c.ran || res.Clean != (c.ran && c.exit == 0) || res.ExitCode != c.exit || !strings.Contains(res.Why, c.text) {
			t.Errorf("%q: %+v, %v", c.body, res, err)
		}
	}
}

// TestFsckCanBeStopped, with all that it started.
func TestFsckCanBeStopped(t *testing.T) {
	cause := errors.New("enough")
	for name, c := range map[string]struct {
		stop func(*Bed, context.CancelCauseFunc) error
		want error
	}{
		"by its context": {func(_ *Bed, cancel context.CancelCauseFunc) error { cancel(cause); return nil }, cause},
		"by Close":       {func(b *Bed, _ context.CancelCauseFunc) error { return b.Close() }, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			machine(t)
			b := open(t, Spec{Config: "nojournal"})
			must(t, b.Unmount())
			pids := filepath.Join(t.TempDir(), "pid")
			script(t, "e2fsck", "sleep 1000 & echo $! > "+pids+".new; mv "+pids+".new "+pids+"; wait")
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			type outcome struct {
				res FsckResult
				err error
			}
			done := make(chan outcome, 1)
			go func() {
				res, err := b.Fsck(ctx)
				done <- outcome{res, err}
			}()
			until(t, "e2fsck runs", func() bool { _, err := os.Stat(pids); return err == nil })
			must(t, c.stop(b, cancel))
			select {
			case o := <-done:
				if !errors.Is(o.err, c.want) || o.res.Ran || o.res.Clean || !strings.Contains(o.res.Why, "stopped") {
					t.Errorf("%+v, %v; want %v", o.res, o.err, c.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("fsck goes on")
			}
			until(t, "what e2fsck started is gone", func() bool { return gone(pids) })
			must(t, b.Close())
			nothingLeft(t, os.Getpid())
		})
	}
}
