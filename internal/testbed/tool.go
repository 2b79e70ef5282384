package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// findTool returns the path of a program of e2fsprogs, also where PATH does
// not reach into sbin.
func findTool(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return filepath.Abs(p)
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", unsupported("%s is not installed (neither in PATH nor in /usr/sbin, /sbin): apt-get install e2fsprogs", name)
}

// toolResult is what a program left.
type toolResult struct {
	exit   int
	output string // stdout and stderr, as they came
}

// runTool runs a program to its end. It lives in a process group of its own,
// killed as a whole when ctx ends, and dies with this process. err is for a
// program that could not be run or was killed; an exit status is not an error.
func runTool(ctx context.Context, path string, args []string, extra ...*os.File) (toolResult, error) {
	// Pdeathsig is sent when the starting thread ends, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &out, &out, extra
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	res := toolResult{exit: -1, output: strings.TrimSpace(out.String())}
	name := filepath.Base(path)
	if ctx.Err() != nil {
		return res, fmt.Errorf("%s was stopped: %w", name, context.Cause(ctx))
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		res.exit = 0
	case errors.As(err, &exit) && exit.Exited():
		res.exit = exit.ExitCode()
	case errors.As(err, &exit):
		return res, fmt.Errorf("%s %s: %s: %s", name, strings.Join(args, " "), exit, res.output)
	default:
		return res, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return res, nil
}

// mkfsTool is mke2fs as it is installed here.
type mkfsTool struct {
	path string
	v147 bool // knows orphan_file; metadata_csum_seed may be a default
}

func findMkfs(ctx context.Context) (mkfsTool, error) {
	var t mkfsTool
	var err error
	if t.path, err = findTool("mke2fs"); err != nil {
		return t, err
	}
	res, err := runTool(ctx, t.path, []string{"-V"})
	if err != nil {
		return t, err
	}
	v := regexp.MustCompile(`mke2fs (\d+)\.(\d+)`).FindStringSubmatch(res.output)
	if v == nil {
		return t, unsupported("%s -V says %q, which is not e2fsprogs: apt-get install e2fsprogs", t.path, res.output)
	}
	major, _ := strconv.Atoi(v[1])
	minor, _ := strconv.Atoi(v[2])
	t.v147 = major > 1 || major == 1 && minor >= 47
	return t, nil
}
