package kernel

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Unknown is the value of a fact that could not be read.
const Unknown = "unknown"

// Environment is what the machine is. A text fact that could not be read is
// Unknown, a number that could not be read is -1.
type Environment struct {
	Release  string // uname -r
	Version  string // uname -v
	Machine  string // uname -m
	Hostname string
	BootID   string

	CPUs        int   // online
	MemoryBytes int64 // MemTotal
	PageSize    int   // bytes

	// Config maps each of ConfigNames to "y", "m", "n", a value, or Unknown.
	Config       map[string]string
	ConfigSource string // the file it is from; Unknown

	TransparentHugepage string // the chosen word: "always", "madvise", "never"
	IOUringDisabled     string // kernel.io_uring_disabled: "0", "1", "2"; "absent" before 6.6
	AIONr, AIOMaxNr     int64  // fs.aio-nr, fs.aio-max-nr: slots, whole machine
	MemlockSoft         int64  // RLIMIT_MEMLOCK, bytes; MaxInt64: unlimited
	MemlockHard         int64

	// Dirty maps vm.dirty_* knobs by their names under /proc/sys/vm.
	Dirty map[string]string
}

// ConfigNames are the kernel config facts that matter to this program, without
// "CONFIG_".
func ConfigNames() []string {
	return []string{
		"KASAN", "KCSAN", "UBSAN", "KFENCE", "LOCKDEP", "PROVE_LOCKING", "DEBUG_VM", "DEBUG_LIST", "SLUB_DEBUG", "SLUB_DEBUG_ON",
		"DEBUG_PAGEALLOC", "DETECT_HUNG_TASK", "SOFTLOCKUP_DETECTOR", "KPROBES", "KPROBE_EVENTS", "FTRACE", "PERF_EVENTS",
		"FAULT_INJECTION", "FAIL_MAKE_REQUEST", "PREEMPT", "PREEMPT_NONE", "PREEMPT_VOLUNTARY", "PREEMPT_LAZY", "PREEMPT_RT",
		"PREEMPT_DYNAMIC", "SMP", "HZ", "AIO", "IO_URING", "EXT4_FS", "JBD2_DEBUG", "XFS_FS", "BTRFS_FS", "BLK_DEV_LOOP",
		"BLK_DEV_DM", "TRANSPARENT_HUGEPAGE", "MAGIC_SYSRQ", "DEBUG_FS",
	}
}

// dirtyKnobs are what governs when dirty pages are written back.
var dirtyKnobs = []string{
	"dirty_ratio", "dirty_bytes", "dirty_background_ratio", "dirty_background_bytes", "dirty_expire_centisecs", "dirty_writeback_centisecs",
}

// ReadEnvironment looks at everything; it cannot fail, only not know.
func ReadEnvironment() Environment {
	e := Environment{
		Release: Unknown, Version: Unknown, Machine: Unknown, Hostname: Unknown,
		CPUs: -1, MemoryBytes: -1, PageSize: os.Getpagesize(),
		BootID:      fact("/proc/sys/kernel/random/boot_id"),
		AIONr:       factInt("/proc/sys/fs/aio-nr"),
		AIOMaxNr:    factInt("/proc/sys/fs/aio-max-nr"),
		MemlockSoft: -1, MemlockHard: -1,
		Dirty: map[string]string{},
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		e.Release, e.Version = unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:])
		e.Machine, e.Hostname = unix.ByteSliceToString(u.Machine[:]), unix.ByteSliceToString(u.Nodename[:])
	}
	if cpus, _, err := onlineCPUs(); err == nil {
		e.CPUs = len(cpus)
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		e.MemoryBytes = memTotal(string(text))
	}
	e.Config, e.ConfigSource = readConfig(e.Release)
	e.TransparentHugepage = chosen(fact("/sys/kernel/mm/transparent_hugepage/enabled"))
	e.IOUringDisabled = factOrAbsent("/proc/sys/kernel/io_uring_disabled")
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim) == nil {
		e.MemlockSoft, e.MemlockHard = limit(lim.Cur), limit(lim.Max)
	}
	for _, k := range dirtyKnobs {
		e.Dirty[k] = fact("/proc/sys/vm/" + k)
	}
	return e
}

func fact(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return Unknown
	}
	return strings.TrimSpace(string(text))
}

func factOrAbsent(path string) string {
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return "absent"
	}
	return fact(path)
}

func factInt(path string) int64 {
	n, err := strconv.ParseInt(fact(path), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func limit(v uint64) int64 { return int64(min(v, 1<<63-1)) }

// chosen finds the bracketed word in "always [madvise] never".
func chosen(text string) string {
	_, rest, ok1 := strings.Cut(text, "[")
	word, _, ok2 := strings.Cut(rest, "]")
	if !ok1 || !ok2 || word == "" {
		return Unknown
	}
	return word
}

func memTotal(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			if kb, err := strconv.ParseInt(f[1], 10, 53); err == nil {
				return kb * 1024
			}
		}
	}
	return -1
}

// readConfig takes the first of the places where a kernel's config may lie.
func readConfig(release string) (map[string]string, string) {
	paths := []string{"/proc/config.gz", "/boot/config-" + release, "/lib/modules/" + release + "/config", "/usr/lib/modules/" + release + "/config"}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		var r io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				f.Close()
				continue
			}
		}
		text, err := io.ReadAll(io.LimitReader(r, 8<<20))
		f.Close()
		if err != nil {
			continue
		}
		if c, err := parseConfig(text); err == nil {
			return c, path
		}
	}
	c := map[string]string{}
	for _, n := range ConfigNames() {
		c[n] = Unknown
	}
	return c, Unknown
}

// parseConfig finds the facts in a config; a name that is not in it is "n". A
// text without a single CONFIG_ line is no config.
func parseConfig(text []byte) (map[string]string, error) {
	facts := map[string]string{}
	for _, n := range ConfigNames() {
		facts[n] = "n"
	}
	found := false
	sc := bufio.NewScanner(bytes.NewReader(text))
	for sc.Scan() {
		rest, ok := strings.CutPrefix(sc.Text(), "CONFIG_")
		if !ok {
			continue
		}
		name, val, ok := strings.Cut(rest, "=")
		if !ok {
			continue
		}
		found = true
		if _, wanted := facts[name]; wanted {
			facts[name] = strings.Trim(val, `"`)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("kernel config: no CONFIG_ line in %d bytes", len(text))
	}
	return facts, nil
}
