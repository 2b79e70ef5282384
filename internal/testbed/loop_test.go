package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/need"
)

// TestLoopByEitherWay: the ioctls of kernels before 5.8 attach as the one of
// today does.
func TestLoopByEitherWay(t *testing.T) {
	machine(t)
	for name, set := range map[string]configure{"LOOP_CONFIGURE": configureLoop, "LOOP_SET_FD": configureLoopInSteps} {
		for _, direct := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/direct=%v", name, direct), func(t *testing.T) {
				tag := fmt.Sprintf("%stest%d.img", imagePrefix(os.Getpid()), time.Now().UnixNano()%1e6)
				f, err := os.Create(filepath.Join(t.TempDir(), tag))
				must(t, err)
				defer f.Close()
				must(t, f.Truncate(1<<20))
				l := attachFree(t, f, tag, direct, set)
				defer l.detach(tag, busyWait)
				fd, err := openRetry(l.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				must(t, err)
				info, err := unix.IoctlLoopGetStatus64(fd)
				unix.Close(fd)
				must(t, err)
				if info.Flags&unix.LO_FLAGS_AUTOCLEAR == 0 || info.Flags&unix.LO_FLAGS_READ_ONLY != 0 || unix.ByteSliceToString(info.File_name[:]) != tag {
					t.Errorf("flags %#x, name %q", info.Flags, unix.ByteSliceToString(info.File_name[:]))
				}
				if l.direct() != direct {
					t.Errorf("direct I/O %v, want %v", l.direct(), direct)
				}
				if err := l.asDirect(); (err == nil) != direct {
					t.Errorf("as direct: %v", err)
				}
				must(t, os.Remove(f.Name())) // the name in /sys changes with it
				var st unix.Stat_t
				must(t, unix.Fstat(int(f.Fd()), &st))
				if list, err := loopsOver(tag, st.Ino); err != nil || len(list) != 1 || list[0] != l.number {
					t.Errorf("loop devices over %s: %v, %v", tag, list, err)
				}
				if list, err := loopsOver(tag, st.Ino+1); err != nil || len(list) != 0 {
					t.Errorf("loop devices over another file of that name: %v, %v", list, err)
				}
				must(t, l.detach(tag, busyWait))
				if boundTo(l.number, tag) {
					t.Error("still attached")
				}
				must(t, l.detach(tag, 0)) // again is without effect
			})
		}
	}
}

// attachFree attaches by a way of the test's choosing. Others may be quicker to
// the number.
func attachFree(t *testing.T, f *os.File, tag string, direct bool, set configure) *loopDevice {
	t.Helper()
	control, err := openRetry("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(control)
	for range 100 {
		n, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		must(t, err)
		if l, err := attachTo(n, f, tag, direct, set); err != unix.EBUSY {
			must(t, err)
			return l
		}
	}
	t.Fatal("no free loop device")
	return nil
}

// TestLoopIsTakenBySeveral: when a number is gone, the next is tried.
func TestLoopIsTakenBySeveral(t *testing.T) {
	machine(t)
	f, err := os.Create(filepath.Join(t.TempDir(), imagePrefix(os.Getpid())+"a.img"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(1<<20))
	tag := filepath.Base(f.Name())
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.WriteFile(other, make([]byte, 1<<20), 0o600))
	g, err := os.OpenFile(other, os.O_RDWR, 0)
	must(t, err)
	defer g.Close()
	tries := 0
	l, err := attachLoop(f, tag, false, func(number int) error {
		if tries++; tries == 1 {
			// The number that was free is given away in between.
			thief, err := attachTo(number, g, "other", false, configureLoop)
			if err == nil {
				t.Cleanup(func() { must(t, thief.detach("other", busyWait)) })
			}
			return err
		}
		return nil
	})
	must(t, err)
	defer func() { must(t, l.detach(tag, busyWait)) }()
	if tries < 2 || !boundTo(l.number, tag) {
		t.Errorf("%d tries, attached to %s", tries, l.path)
	}
}

// TestLoopThatStaysInUse: detach says by whom.
func TestLoopThatStaysInUse(t *testing.T) {
	machine(t)
	f, err := os.Create(filepath.Join(t.TempDir(), imagePrefix(os.Getpid())+"b.img"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(1<<20))
	tag := filepath.Base(f.Name())
	l, err := attachLoop(f, tag, false, func(int) error { return nil })
	must(t, err)
	holder := start(t, order{Act: "hold", Path: l.path, Flags: unix.O_RDONLY}, nil)
	err = l.detach(tag, 20*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d (", holder.pid())) || !strings.Contains(err.Error(), l.path) {
		t.Errorf("detach in use: %v", err)
	}
	holder.kill()
	until(t, "it detaches with its last user", func() bool { return !boundTo(l.number, tag) })
}

// TestStablePages: the mounted file system sees the device ask for it, and the
// next user of the device does not.
func TestStablePages(t *testing.T) {
	machine(t)
	b := open(t, Spec{Need: 1 << 20, StablePages: true})
	attribute := b.loop.sys() + "/queue/" + stablePages
	if _, err := os.Stat(attribute); err != nil {
		if b.Info().StablePages {
			t.Errorf("%s is not there, and yet the device is said to ask for stable pages", attribute)
		}
		need.Skip(t, need.Module, err.Error())
	}
	if !b.Info().StablePages {
		t.Error("the device does not ask for stable pages")
	}
	must(t, b.Unmount())
	must(t, b.Remount())
	if !b.Info().StablePages {
		t.Error("not after mounting again")
	}
	must(t, b.Close())
	if v := readFact(attribute); v != "0" {
		t.Errorf("%s is %q when all is given back", attribute, v)
	}
	if plain := open(t, Spec{Need: 1 << 20}); plain.Info().StablePages {
		t.Error("a device that was not told to asks for stable pages")
	}
}
