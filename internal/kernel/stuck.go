package kernel

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// StuckDump writes what the kernel shows of this process when nothing moves
// any more: of each task its name, state, wait channel, system call and (as
// root) kernel stack, and of each io_uring its fdinfo. What cannot be read is
// written as the reason. Reading fdinfo can itself wait for a ring's lock;
// call it from a goroutine of its own.
func StuckDump(w io.Writer) error {
	out := &stickyWriter{w: w}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		dir := "/proc/self/task/" + t.Name()
		fmt.Fprintf(out, "task %s %s state %s wchan %s\n", t.Name(), orWhy(dir+"/comm"), stateLetter(dir), orWhy(dir+"/wchan"))
		fmt.Fprintf(out, "  syscall %s\n", orWhy(dir+"/syscall"))
		for line := range strings.Lines(orWhy(dir + "/stack")) {
			fmt.Fprintf(out, "  stack %s\n", strings.TrimRight(line, "\n"))
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, f := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.Contains(to, "[io_uring]") {
			fmt.Fprintf(out, "io_uring fd %s\n", f.Name())
			for line := range strings.Lines(orWhy("/proc/self/fdinfo/" + f.Name())) {
				fmt.Fprintf(out, "  %s\n", strings.TrimRight(line, "\n"))
			}
		}
	}
	return out.err
}

type stickyWriter struct {
	w   io.Writer
	err error
}

func (s *stickyWriter) Write(p []byte) (int, error) {
	if s.err == nil {
		_, s.err = s.w.Write(p)
	}
	return len(p), s.err
}

// orWhy is a file's text, or why there is none.
func orWhy(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	if s := strings.TrimRight(string(text), "\n\x00"); s != "" {
		return s
	}
	return "(empty)"
}

func stateLetter(dir string) string {
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return "?"
	}
	_, state, ok := parseStat(string(text))
	if !ok {
		return "?"
	}
	return string(state)
}

// parseStat finds name and state in "PID (NAME) STATE ...": the name may hold
// blanks and parentheses.
func parseStat(text string) (comm string, state byte, ok bool) {
	i, j := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if i < 0 || j < i || j+2 >= len(text) || text[j+1] != ' ' {
		return "", 0, false
	}
	return text[i+1 : j], text[j+2], true
}

// Task is one task in uninterruptible sleep.
type Task struct {
	PID, TID int
	Comm     string
	Wchan    string // function it waits in; "0" or "" where the kernel hides it
}

// BlockedTasks lists the tasks of the whole machine that are in state D now. A
// single look says little: one that stays between two looks is stuck. Tasks
// that end meanwhile are left out.
func BlockedTasks() ([]Task, error) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var blocked []Task
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		stats, err := filepath.Glob("/proc/" + p.Name() + "/task/*/stat")
		if err != nil {
			return nil, err
		}
		for _, path := range stats {
			text, err := os.ReadFile(path)
			if err != nil {
				continue // it has ended
			}
			comm, state, ok := parseStat(string(text))
			if !ok || state != 'D' {
				continue
			}
			dir := filepath.Dir(path)
			tid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				continue
			}
			wchan, _ := os.ReadFile(dir + "/wchan") // hidden for others' tasks: ""
			blocked = append(blocked, Task{PID: pid, TID: tid, Comm: comm, Wchan: string(wchan)})
		}
	}
	return blocked, nil
}

const sysrqPath = "/proc/sysrq-trigger"

// SysrqW asks the kernel to log the stacks of all blocked tasks (sysrq w) and
// returns what it logged. It needs root and CONFIG_MAGIC_SYSRQ; the error says
// which is missing.
func SysrqW() ([]Line, error) {
	if _, err := os.Stat(sysrqPath); err != nil {
		return nil, fmt.Errorf("no sysrq here (CONFIG_MAGIC_SYSRQ=n): %w", err)
	}
	l, err := OpenLog(Marker("sysrq", uint64(os.Getpid())))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if l.State() == LogUnavailable {
		return nil, fmt.Errorf("sysrq w: its output could not be read: %s", l.Why())
	}
	if err := writeFile(sysrqPath, "w"); err != nil {
		return nil, fmt.Errorf("sysrq w: %w", err)
	}
	time.Sleep(10 * time.Millisecond)
	return l.Poll()
}
