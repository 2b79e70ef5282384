package kernel

import (
	"strconv"
	"strings"
)

// Class is what sort of thing a kernel log line says. It is a sorting, not a
// judgement.
type Class uint8

// The classes.
const (
	LogOther            Class = iota
	LogBug                    // BUG(), a bad dereference, bad page state
	LogOops                   // the register dump's first line
	LogPanic                  // Kernel panic
	LogGPF                    // general protection fault
	LogWarning                // WARN()
	LogRefcount               // refcount_t
	LogKASAN                  // also KMSAN
	LogKCSAN                  //
	LogUBSAN                  //
	LogKFENCE                 //
	LogLockdep                // a locking rule was broken
	LogLockdepOff             // lockdep ran out of table space: it says nothing any more
	LogHungTask               // blocked for more than N seconds
	LogRCUStall               //
	LogLockup                 // soft, hard, workqueue
	LogSlab                   // allocator metadata or poison was overwritten
	LogListCorruption         // list_add/list_del corruption
	LogOOM                    // the OOM killer, or a failed allocation
	LogLeak                   // kmemleak
	LogExt4Error              // EXT4-fs error
	LogExt4Warning            // EXT4-fs warning
	LogExt4Shutdown           // EXT4-fs: shut down requested, remounting read-only
	LogJBD2Error              // the journal
	LogIOError                // the block layer: "I/O error, dev X" and its kin
	LogBufferIOError          // Buffer I/O error on dev X
	LogInvalidation           // a post-write failure: at most 10 a day, whole machine
	LogInvalidationFile       // its second line, with File, PID and Comm
	LogCollision              // Direct I/O collision with buffered writes
	LogSuppressed             // N callbacks suppressed

	numClasses
)

var classNames = [numClasses]string{
	"other", "bug", "oops", "panic", "general_protection", "warning", "refcount", "kasan", "kcsan", "ubsan", "kfence",
	"lockdep", "lockdep_off", "hung_task", "rcu_stall", "lockup", "slab", "list_corruption", "oom", "leak",
	"ext4_error", "ext4_warning", "ext4_shutdown", "jbd2_error", "io_error", "buffer_io_error",
	"invalidation", "invalidation_file", "collision", "suppressed",
}

func (c Class) String() string {
	if c < numClasses {
		return classNames[c]
	}
	return "unknown class"
}

const (
	invalidationText = "Page cache invalidation failure on direct I/O."
	collisionText    = "Direct I/O collision with buffered writes!"
)

// pattern matches a text that contains, or with prefix begins with, a phrase.
type pattern struct {
	phrase string
	prefix bool
	class  Class
}

// patterns in the order they are tried: the special before the general. Texts
// as in mm/filemap.c, fs/ext4/super.c, fs/jbd2/, block/blk-core.c,
// block/blk-mq.c, fs/buffer.c, lib/refcount.c, lib/list_debug.c, mm/slub.c,
// mm/kasan/report.c, kernel/locking/lockdep.c, kernel/rcu/tree_stall.h,
// kernel/hung_task.c, kernel/watchdog.c, kernel/panic.c, 5.10 to 6.18.
var patterns = []pattern{
	{invalidationText, true, LogInvalidation},
	{collisionText, true, LogCollision},
	{" callbacks suppressed", false, LogSuppressed},

	{"BUG: KASAN:", false, LogKASAN},
	{"BUG: KMSAN:", false, LogKASAN},
	{"BUG: KCSAN:", false, LogKCSAN},
	{"BUG: KFENCE:", false, LogKFENCE},
	{"UBSAN:", false, LogUBSAN},
	{"BUG: MAX_LOCKDEP_", false, LogLockdepOff},
	{"BUG: MAX_STACK_TRACE_ENTRIES too low", false, LogLockdepOff},
	{"BUG: MAX_LOCK_DEPTH too low", false, LogLockdepOff},
	{"turning off the locking correctness validator", false, LogLockdepOff},
	{"BUG: soft lockup", false, LogLockup},
	{"BUG: workqueue lockup", false, LogLockup},
	{"detected hard LOCKUP", false, LogLockup},
	{"possible circular locking dependency detected", false, LogLockdep},
	{"possible recursive locking detected", false, LogLockdep},
	{"possible irq lock inversion dependency detected", false, LogLockdep},
	{"inconsistent lock state", false, LogLockdep},
	{"irq-safe -> ", false, LogLockdep},
	{"suspicious RCU usage", false, LogLockdep},
	{"bad unlock balance detected", false, LogLockdep},
	{"bad contention detected", false, LogLockdep},
	{"held lock freed", false, LogLockdep},
	{"lock held when returning to user space", false, LogLockdep},
	{"still has locks held", false, LogLockdep},
	{"Invalid wait context", false, LogLockdep},
	{"DEBUG_LOCKS_WARN_ON", false, LogLockdep},
	{"refcount_t:", true, LogRefcount},
	{"list_add corruption", true, LogListCorruption},
	{"list_del corruption", true, LogListCorruption},
	{"list_add double add", true, LogListCorruption},
	{"Kernel panic - not syncing", true, LogPanic},
	{"general protection fault", false, LogGPF},
	{"Oops:", false, LogOops},
	{"Oops - ", false, LogOops},
	{"kernel BUG at ", false, LogBug},
	{"BUG: ", false, LogBug},
	{"Unable to handle kernel ", false, LogBug},
	{"Bad page map in process", false, LogBug},
	{"BUG Bad page", false, LogBug},
	{"detected stalls on CPUs/tasks", false, LogRCUStall},
	{"self-detected stall on CPU", false, LogRCUStall},
	{"detected expedited stalls", false, LogRCUStall},
	{"kthread starved for", false, LogRCUStall},
	{" blocked for more than ", false, LogHungTask},
	{" blocked in I/O wait for more than ", false, LogHungTask},
	{"Poison overwritten", false, LogSlab},
	{"Redzone overwritten", false, LogSlab},
	{"Slab corruption", false, LogSlab},
	{"Object corrupt", false, LogSlab},
	{"Object already free", false, LogSlab},
	{"Object padding overwritten", false, LogSlab},
	{"Padding overwritten", false, LogSlab},
	{"Freelist Pointer check fails", false, LogSlab},
	{"Freechain corrupt", false, LogSlab},
	{"Freepointer corrupt", false, LogSlab},
	{"Wrong object count", false, LogSlab},
	{"Invalid object pointer", false, LogSlab},
	{"WARNING: ", true, LogWarning},
	{"invoked oom-killer", false, LogOOM},
	{"Out of memory: ", false, LogOOM},
	{"Memory cgroup out of memory: ", false, LogOOM},
	{"page allocation failure: ", false, LogOOM},
	{"new suspected memory leaks", false, LogLeak},

	{"EXT4-fs error ", true, LogExt4Error},
	{"EXT4-fs warning ", true, LogExt4Warning},
	{"shut down requested", false, LogExt4Shutdown},
	{"Remounting filesystem read-only", false, LogExt4Shutdown},
	{"JBD2: Error", false, LogJBD2Error},
	{"JBD2: Detected IO errors", false, LogJBD2Error},
	{"JBD2: I/O error", false, LogJBD2Error},
	{"JBD2: recovery failed", false, LogJBD2Error},
	{"JBD2: journal checksum error", false, LogJBD2Error},
	{"Detected aborted journal", false, LogJBD2Error},
	{"Aborting journal on device ", true, LogJBD2Error},
	{"Buffer I/O error on dev", true, LogBufferIOError},
	{"Buffer I/O error", false, LogBufferIOError},
	{" error, dev ", false, LogIOError},
}

// classifier remembers which invalidation lines still lack their second line.
type classifier struct {
	pending int
}

// classify fills in Class and Facts. Only what the kernel itself logged is
// classified: user space can write any text.
func (c *classifier) classify(l *Line) {
	if l.Facility != 0 {
		return
	}
	text := l.Text
	if c.pending > 0 && strings.HasPrefix(text, "File: ") {
		if f, ok := parseFileLine(text); ok {
			c.pending--
			l.Class, l.Facts = LogInvalidationFile, f
			return
		}
	}
	for i := range patterns {
		p := &patterns[i]
		if p.prefix && strings.HasPrefix(text, p.phrase) || !p.prefix && strings.Contains(text, p.phrase) {
			l.Class = p.class
			break
		}
	}
	switch l.Class {
	case LogInvalidation:
		c.pending++
	case LogSuppressed:
		l.Facts = suppressedFacts(text)
	case LogCollision:
		l.Facts = collisionFacts(text)
	case LogIOError:
		l.Facts = ioErrorFacts(text)
	case LogBufferIOError:
		l.Facts.Device = wordAfter(text, "on dev ", "on device ")
	case LogExt4Error, LogExt4Warning:
		l.Facts.Device = wordAfter(text, "(device ")
	case LogExt4Shutdown:
		l.Facts.Device = wordAfter(text, "EXT4-fs (")
	case LogJBD2Error:
		l.Facts.Device = wordAfter(text, "on device ", "superblock for ")
	}
}

// parseFileLine reads "File: PATH PID: N Comm: NAME" (since 4.16). The path may
// hold anything, so the end is looked for first.
func parseFileLine(text string) (Facts, bool) {
	rest, ok := strings.CutPrefix(text, "File: ")
	if !ok {
		return Facts{}, false
	}
	for at := len(rest); ; {
		at = strings.LastIndex(rest[:at], " PID: ")
		if at < 0 {
			return Facts{}, false
		}
		num, comm, ok := strings.Cut(rest[at+len(" PID: "):], " Comm: ")
		if !ok {
			continue
		}
		pid, err := strconv.Atoi(num)
		if err != nil || pid < 0 {
			continue
		}
		return Facts{File: rest[:at], PID: pid, Comm: comm}, true
	}
}

// collisionFacts reads "... File: NAME Comm: NAME" (fs/iomap/direct-io.c).
func collisionFacts(text string) Facts {
	_, rest, ok := strings.Cut(text, " File: ")
	if !ok {
		return Facts{}
	}
	i := strings.LastIndex(rest, " Comm: ")
	if i < 0 {
		return Facts{File: rest}
	}
	return Facts{File: rest[:i], Comm: rest[i+len(" Comm: "):]}
}

// suppressedFacts reads "FUNC: N callbacks suppressed" (lib/ratelimit.c).
func suppressedFacts(text string) Facts {
	head, _, _ := strings.Cut(text, " callbacks suppressed")
	i := strings.LastIndex(head, ": ")
	if i < 0 {
		return Facts{}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(head[i+2:]), 10, 64)
	if err != nil {
		return Facts{}
	}
	return Facts{Func: strings.TrimSpace(head[:i]), Count: n}
}

// ioErrorFacts reads "[blk_update_request: ]STATUS error, dev DEV, sector N".
func ioErrorFacts(text string) Facts {
	head, rest, _ := strings.Cut(text, " error, dev ")
	dev, _, _ := strings.Cut(rest, ",")
	for _, p := range []string{"blk_update_request: ", "print_req_error: "} {
		head = strings.TrimPrefix(head, p)
	}
	return Facts{Device: strings.TrimSpace(dev), Status: head}
}

// wordAfter is the word behind the first of the phrases that is there.
func wordAfter(text string, phrases ...string) string {
	for _, p := range phrases {
		if _, rest, ok := strings.Cut(text, p); ok {
			if i := strings.IndexAny(rest, " ,):;.\t"); i >= 0 {
				rest = rest[:i]
			}
			return rest
		}
	}
	return ""
}
