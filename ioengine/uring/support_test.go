package uring

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/internal/need"
	"diostress/ioengine"
)

func TestSetupFlags(t *testing.T) {
	for _, c := range []struct {
		names string
		want  uint32
		bad   string // part of the error
	}{
		{"", 0, ""},
		{"sqpoll", 2, ""},
		{"coop_taskrun", 0x100 | 0x200, ""},
		{"single_issuer", 0x1000, ""},
		{"defer_taskrun", 0x2000 | 0x1000 | 0x200, ""},
		{"defer_taskrun single_issuer coop_taskrun", 0x2000 | 0x1000 | 0x200 | 0x100, ""},
		{"sqpoll single_issuer", 2 | 0x1000, ""},
		{"sqpoll defer_taskrun", 0, "drop one"},
		{"sqpoll coop_taskrun", 0, "drop one"},
		{"iopoll", 0, `"iopoll": valid are sqpoll,`},
	} {
		got, err := setupFlags(strings.Fields(c.names))
		if c.bad != "" {
			if err == nil || !strings.Contains(err.Error(), c.bad) || errors.Is(err, ioengine.ErrUnsupported) {
				t.Errorf("%q: %v, want %q", c.names, err, c.bad)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%q: %#x, %v; want %#x", c.names, got, err, c.want)
		}
	}
	for _, name := range ioengine.UringFlagNames() {
		if _, err := setupFlags([]string{name}); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestSetupError(t *testing.T) {
	for _, c := range []struct {
		errno unix.Errno
		flags []string
		lacks bool
		want  string
	}{
		{unix.ENOSYS, nil, true, "ENOSYS"},
		{unix.EPERM, nil, true, disabledPath},
		{unix.EINVAL, []string{"defer_taskrun"}, true, "6.1"},
		{unix.EINVAL, nil, false, "depth 8"},
		{unix.EMFILE, nil, false, "depth 8"},
	} {
		err := setupError(c.errno, ioengine.Options{Depth: 8, UringFlags: c.flags})
		if errors.Is(err, ioengine.ErrUnsupported) != c.lacks || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.errno, err)
		}
	}
	for value, want := range map[string]string{"2\n": "for everybody", "1\n": "io_uring_group", "0\n": "seccomp"} {
		if got := refused([]byte(value), nil); !strings.Contains(got, want) {
			t.Errorf("value %q: %q lacks %q", value, got, want)
		}
	}
	if got := refused(nil, os.ErrNotExist); !strings.Contains(got, "cannot be read") {
		t.Errorf("no file: %q", got)
	}
}

// TestFiltered hides io_uring_setup behind a seccomp filter, in a process of
// its own: itself, run again.
func TestFiltered(t *testing.T) {
	if s := os.Getenv("URING_TEST_ERRNO"); s != "" {
		filteredChild(s)
	}
	need.RootUser(t)
	for errno, want := range map[unix.Errno]string{unix.EPERM: disabledPath, unix.ENOSYS: "ENOSYS"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFiltered$")
		cmd.Env = append(os.Environ(), "URING_TEST_ERRNO="+strconv.Itoa(int(errno)))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, want := range []string{"unsupported: true", want, "use libaio or psync"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%v: %q lacks %q", errno, out, want)
			}
		}
	}
}

func filteredChild(errno string) {
	runtime.LockOSThread()
	n, err := strconv.Atoi(errno)
	fail(err)
	// if nr == io_uring_setup return errno else allow
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_IO_URING_SETUP},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x00050000 | uint32(n)}, // SECCOMP_RET_ERRNO
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000},             // SECCOMP_RET_ALLOW
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	fail(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	const filterMode = 2 // SECCOMP_MODE_FILTER
	fail(unix.Prctl(unix.PR_SET_SECCOMP, filterMode, uintptr(unsafe.Pointer(&fprog)), 0, 0))
	tell(Open(ioengine.Options{Files: []int{0}, Depth: 4}))
}

// tell ends the process with what Open said.
func tell(_ ioengine.Engine, err error) {
	if err == nil {
		os.Stdout.WriteString("opened\n")
		os.Exit(1)
	}
	if errors.Is(err, ioengine.ErrUnsupported) {
		os.Stdout.WriteString("unsupported: true\n")
	}
	os.Stdout.WriteString(err.Error() + "\n")
	os.Exit(0)
}

func fail(err error) {
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// TestMemlock registers more than the limit in a process without
// CAP_IPC_LOCK: itself, run again.
func TestMemlock(t *testing.T) {
	if os.Getenv("URING_TEST_MEMLOCK") != "" {
		memlockChild()
	}
	need.RootUser(t)
	if err := (variant{apply: func(*ioengine.Options) {}}).probe(); errors.Is(err, ioengine.ErrUnsupported) {
		need.Skip(t, need.IOUring, err.Error())
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemlock$")
	cmd.Env = append(os.Environ(), "URING_TEST_MEMLOCK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"unsupported: true", "limit of 65536 bytes", "ulimit -l"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q lacks %q", out, want)
		}
	}
}

func memlockChild() {
	runtime.LockOSThread()
	fail(unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 65536, Max: 65536}))
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	fail(unix.Capset(&hdr, &data[0]))
	arena, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	fail(err)
	tell(Open(ioengine.Options{Files: []int{0}, Depth: 4, Arena: arena, BufSize: 4096, FixedBufs: true}))
}
