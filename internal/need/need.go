// Package need holds what a test demands of the machine it runs on, so that
// every skip has a name, a reason and a way to be turned into a failure.
//
// Only tests, and what runs them, import it. It never skips on a guess: the
// caller brings a probe's conclusive answer.
package need

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The names a test may skip by, and that RequireVar may hold.
const (
	Root        = "root"
	IOUring     = "io_uring"
	LibAIO      = "libaio"
	Psync       = "psync"    // pwritev2, since 4.6
	ODirect     = "o_direct" // a temporary directory whose file system has O_DIRECT
	Tracepoints = "tracepoints"
	Cachestat   = "cachestat" // the system call, since 6.5
	Tool        = "tool"      // a program such as mke2fs
	Module      = "module"    // a kernel module or a driver that is not built in
	VM          = "vm"
	Browser     = "browser"
	CPUs        = "cpus"  // two processors at least
	Speed       = "speed" // a processor that is not emulated
)

// Names returns every name, in the order of their declaration.
func Names() []string {
	return []string{Root, IOUring, LibAIO, Psync, ODirect, Tracepoints, Cachestat, Tool, Module, VM, Browser, CPUs, Speed}
}

const (
	// RequireVar is the environment variable that lists, separated by commas,
	// the names whose absence is a failure. A name that does not exist fails
	// every test that asks: it would require nothing.
	RequireVar = "DIOSTRESS_REQUIRE"
	// SkipsVar is the environment variable that names a file: each skip
	// appends a line "name, tab, test, tab, reason" to it, to be counted.
	SkipsVar = "DIOSTRESS_SKIPS"
)

// Skip ends the test: skipped with "need NAME: reason", or failed where
// RequireVar lists the name. reason is one line.
func Skip(t testing.TB, name, reason string) {
	t.Helper()
	required, err := demanded(os.Getenv(RequireVar), name)
	if err != nil {
		t.Fatal(err)
	}
	if required {
		t.Fatalf("need %s (required here): %s", name, reason)
	}
	if path := os.Getenv(SkipsVar); path != "" {
		if err := record(path, name, t.Name(), reason); err != nil {
			t.Fatalf("skip of need %s (%s) could not be counted: %v", name, reason, err)
		}
	}
	t.Skipf("need %s: %s", name, reason)
}

// demanded says whether the list requires name.
func demanded(list, name string) (bool, error) {
	if !slices.Contains(Names(), name) {
		return false, fmt.Errorf("need %q is none of %s", name, strings.Join(Names(), ", "))
	}
	required := false
	for n := range strings.SplitSeq(list, ",") {
		switch n = strings.TrimSpace(n); {
		case n == "":
		case !slices.Contains(Names(), n):
			return false, fmt.Errorf("%s=%q: %q is not known; valid: %s", RequireVar, list, n, strings.Join(Names(), ", "))
		case n == name:
			required = true
		}
	}
	return required, nil
}

// record appends one line in one write, so that processes do not mix theirs.
func record(path, name, test, reason string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\t%s\t%s\n", name, test, strings.NewReplacer("\n", " ", "\t", " ").Replace(reason))
	return errors.Join(err, f.Close())
}

// RootUser skips unless the test runs as root.
func RootUser(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, Root, "not root")
	}
}

// EmulatedVar is the environment variable that says, if it is not empty, that
// the processor is emulated, ten times slower than others.
const EmulatedVar = "DIOSTRESS_EMULATED"

// Emulated says whether the test runs on an emulated processor.
func Emulated() bool { return os.Getenv(EmulatedVar) != "" }

// Alone holds a machine-wide lock until the test ends. Loop devices, AIO
// contexts and kernel-wide counters are shared by every process, so tests that
// use or count them run one at a time, across packages too. A test calls it
// once, before it makes anything.
func Alone(t testing.TB) {
	t.Helper()
	f, err := lockFile(filepath.Join(os.TempDir(), "diostress-test.lock"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
}

// lockFile opens the file, making it if there is none. Where another user made
// it, an open for writing, and in a sticky directory even one with O_CREAT
// (fs.protected_regular), is refused.
func lockFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	f, err = os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return os.Open(path)
	}
	return f, err
}
