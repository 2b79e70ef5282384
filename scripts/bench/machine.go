package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// describeMachine says on what the figures were measured.
func describeMachine() string {
	var u unix.Utsname
	unix.Uname(&u)
	var mem unix.Sysinfo_t
	unix.Sysinfo(&mem)
	return fmt.Sprintf("%d CPUs (%s), %.1f GiB memory, Linux %s, %s, %s",
		runtime.NumCPU(), cpuModel(), float64(mem.Totalram)*float64(mem.Unit)/(1<<30), unix.ByteSliceToString(u.Release[:]), fioVersion(), runtime.Version())
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "model unknown"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return "model unknown"
}

func fioVersion() string {
	b, err := exec.Command("fio", "--version").Output()
	if err != nil {
		return "no fio"
	}
	return strings.TrimSpace(string(b))
}

// ticks is how many units of /proc/stat are a second (USER_HZ, which the
// kernel has fixed for all programs).
const ticks = 100

// machineBusy is the time all processors together were not idle, in seconds
// since boot.
func machineBusy() (float64, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	w := strings.Fields(line)
	if len(w) < 9 || w[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	// user nice system, not idle and iowait, irq softirq; steal is not ours.
	sum := 0.0
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.ParseFloat(w[i], 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += n
	}
	return sum / ticks, nil
}

// family lists a process and its descendants: fio's jobs leave its process
// group.
func family(pid int) []int {
	children := map[int][]int{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ") // the name before may hold anything
		w := strings.Fields(rest)
		if len(w) < 2 {
			continue
		}
		child, err1 := strconv.Atoi(strings.Split(path, "/")[2])
		parent, err2 := strconv.Atoi(w[1])
		if err1 == nil && err2 == nil {
			children[parent] = append(children[parent], child)
		}
	}
	list := []int{pid}
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i]]...)
	}
	return list
}

// familyCPU is the CPU time that processes have used up, all their threads
// included, in seconds.
func familyCPU(pids []int) (sum float64, err error) {
	for _, pid := range pids {
		// The clock of another process (kernel/time/posix-cpu-timers.c,
		// CPUCLOCK_SCHED): nanoseconds, where /proc has hundredths.
		clock := int32(^pid)<<3 | 2
		var ts unix.Timespec
		if err := unix.ClockGettime(clock, &ts); err != nil {
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		sum += float64(ts.Nano()) / 1e9
	}
	return sum, nil
}

// sectorsWritten is how many 512-byte sectors have been written to a device.
// Merging makes fewer requests of them, but no fewer sectors.
func sectorsWritten(dev uint64) (uint64, error) {
	path := fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(dev), unix.Minor(dev))
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	w := strings.Fields(string(b))
	if len(w) < 7 {
		return 0, fmt.Errorf("%s: %q", path, b)
	}
	return strconv.ParseUint(w[6], 10, 64)
}
