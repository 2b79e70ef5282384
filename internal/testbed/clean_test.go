package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// clean runs Clean and returns the lines about one process.
func clean(t *testing.T, pid int) (lines []string, err error) {
	t.Helper()
	var w strings.Builder
	_, err = Clean(&w)
	for line := range strings.Lines(w.String()) {
		if strings.HasPrefix(line, fmt.Sprintf("pid %d: ", pid)) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines, err
}

// TestCleanAfterKill: exactly what the killed run left goes, and nothing of
// the one that lives.
func TestCleanAfterKill(t *testing.T) {
	for _, s := range []Spec{{}, {FS: "ext3"}} {
		t.Run(s.FS, func(t *testing.T) {
			machine(t)
			dead, live := start(t, order{Act: "open", Spec: s}, nil), start(t, order{Act: "open", Spec: s}, nil)
			wantsText(t, dead.Err+live.Err, "", "")
			path := filepath.Join(live.Dir, "file")
			want := writeDirect(t, path, 4)
			dead.kill()
			if left := leftovers(t, dead.pid()); len(left) != 3 {
				t.Errorf("left by the killed run: %q, want a mount, a loop device and a record", left)
			}
			has := leftovers(t, live.pid())

			lines, err := clean(t, dead.pid())
			must(t, err)
			if len(lines) < 2 || !strings.Contains(lines[0], "unmounted "+dead.Dev+" ("+dead.Dir+")") || !strings.Contains(lines[len(lines)-1], "removed the state directory") {
				t.Errorf("clean says %q", lines)
			}
			until(t, "the loop device detaches itself", func() bool { return len(leftovers(t, dead.pid())) == 0 })
			if now := leftovers(t, live.pid()); !slices.Equal(sorted(now), sorted(has)) {
				t.Errorf("the live run has %q, had %q", now, has)
			}
			holds(t, path, want)
			if lines, err := clean(t, live.pid()); err != nil || len(lines) != 1 || !strings.Contains(lines[0], "left alone: it is running") {
				t.Errorf("clean says of the live run %q, %v", lines, err)
			}
			if lines, err := clean(t, dead.pid()); err != nil || len(lines) != 0 {
				t.Errorf("clean again: %q, %v", lines, err)
			}
			live.finish(t)
			nothingLeft(t, live.pid())
		})
	}
}

// TestCleanOfABusyMount: a process that looks around in it does not keep it.
func TestCleanOfABusyMount(t *testing.T) {
	machine(t)
	dead := start(t, order{Act: "open"}, nil)
	holder := start(t, order{Act: "hold", Path: dead.Dir, Flags: unix.O_RDONLY}, nil)
	dead.kill()
	lines, err := clean(t, dead.pid())
	must(t, err)
	if text := strings.Join(lines, "\n"); !strings.Contains(text, "lazily") || !strings.Contains(text, fmt.Sprintf("pid %d (", holder.pid())) {
		t.Errorf("clean says %q", lines)
	}
	holder.kill()
	until(t, "the rest goes with its user", func() bool { return len(leftovers(t, dead.pid())) == 0 })
}

// TestKilledWhileMaking: the program that was running goes too, and what it
// worked on.
func TestKilledWhileMaking(t *testing.T) {
	machine(t)
	pids := filepath.Join(t.TempDir(), "pid")
	real, err := findTool("mke2fs")
	must(t, err)
	dir := script(t, "mke2fs", fmt.Sprintf(`case "$*" in
-V | *-n*) exec %s "$@" ;;
esac
echo $$ > %s.new; mv %s.new %s
exec sleep 1000`, real, pids, pids, pids))
	c := begin(t, order{Act: "open"}, setenv("PATH", dir+":"+os.Getenv("PATH")))
	until(t, "mke2fs runs", func() bool { _, err := os.Stat(pids); return err == nil })
	c.kill()
	until(t, "mke2fs is gone", func() bool { return gone(pids) })
	until(t, "the loop device detaches itself", func() bool { return len(leftovers(t, c.pid())) == 1 })
	if lines, err := clean(t, c.pid()); err != nil || len(lines) != 1 {
		t.Errorf("clean says %q, %v", lines, err)
	}
	nothingLeft(t, c.pid())
}

// TestCleanWithAGarbledRecord removes what can be found without it.
func TestCleanWithAGarbledRecord(t *testing.T) {
	machine(t)
	for _, garbage := range []string{"", "{", "\x00\xff", `{"pid":"x"}`, `{"pid":1,"start_time":7}`, `[]`} {
		dead := start(t, order{Act: "open", Spec: Spec{Config: "nojournal"}}, nil)
		dead.kill()
		dir := filepath.Dir(dead.Dir)
		must(t, os.WriteFile(filepath.Join(dir, stateFile), []byte(garbage), 0o600))
		_, err := clean(t, dead.pid())
		wants(t, err, "broken", stateFile, dir, imagePrefix(dead.pid()))
		until(t, "mount and loop device are gone", func() bool {
			left := leftovers(t, dead.pid())
			return len(left) == 1 && left[0] == dir
		})
		must(t, os.RemoveAll(dir))
	}
}

// forge makes a record by hand in a base of its own.
func forge(t *testing.T, base string, s state) (dir string) {
	t.Helper()
	dir = filepath.Join(base, fmt.Sprintf("%d-%d", s.PID, s.StartTime))
	must(t, os.MkdirAll(dir, 0o700))
	b, err := json.Marshal(s)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, stateFile), b, 0o600))
	return dir
}

// ended is a process that was, and is not.
func ended(t *testing.T) (pid int, start uint64) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "read x")
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	_, start, err = procStart(cmd.Process.Pid)
	must(t, err)
	in.Close()
	cmd.Wait()
	return cmd.Process.Pid, start
}

// TestCleanGoesByTheRecord: who lives, and which things are ours.
func TestCleanGoesByTheRecord(t *testing.T) {
	boot, err := bootID()
	must(t, err)
	own := os.Getpid()
	_, ownStart, err := procStart(own)
	must(t, err)
	deadPID, deadStart := ended(t)
	for _, c := range []struct {
		name   string
		state  state
		file   string // a file with this name that Image names; the word PID is replaced
		other  bool   // its inode is not the recorded one
		subdir string
		keeps  []string // of file, subdir, record
	}{
		{name: "dead", state: state{PID: deadPID, StartTime: deadStart, BootID: boot}, file: "diostress-PID-A.img", subdir: ".diostress-PID-A"},
		{name: "number given to another process", state: state{PID: own, StartTime: ownStart - 1, BootID: boot}, file: "diostress-PID-A.img"},
		{name: "alive", state: state{PID: own, StartTime: ownStart, BootID: boot}, file: "diostress-PID-A.img", subdir: ".diostress-PID-A", keeps: []string{"file", "subdir", "record"}},
		{name: "alive in an earlier boot", state: state{PID: own, StartTime: ownStart, BootID: "another"}, file: "diostress-PID-A.img"},
		{name: "image is another's", state: state{PID: deadPID, StartTime: deadStart, BootID: boot}, file: "precious", subdir: ".diostress-PID-A", keeps: []string{"file"}},
		{name: "image of another process", state: state{PID: deadPID, StartTime: deadStart, BootID: boot}, file: "diostress-1-A.img", keeps: []string{"file"}},
		{name: "another file by that name", state: state{PID: deadPID, StartTime: deadStart, BootID: boot}, file: "diostress-PID-A.img", other: true, keeps: []string{"file"}},
		{name: "directory is another's", state: state{PID: deadPID, StartTime: deadStart, BootID: boot}, file: "diostress-PID-A.img", subdir: "precious.d", keeps: []string{"subdir"}},
		{name: "nothing was made", state: state{PID: deadPID, StartTime: deadStart, BootID: boot}},
	} {
		t.Run(c.name, func(t *testing.T) {
			base, place := filepath.Join(t.TempDir(), "base"), t.TempDir()
			there := map[string]string{}
			number := fmt.Sprint(c.state.PID)
			if c.file != "" {
				there["file"] = filepath.Join(place, strings.ReplaceAll(c.file, "PID", number))
				must(t, os.WriteFile(there["file"], []byte("x"), 0o600))
				var st unix.Stat_t
				must(t, unix.Stat(there["file"], &st))
				c.state.Image, c.state.ImageIno = there["file"], st.Ino
				if c.other {
					c.state.ImageIno++
				}
			}
			if c.subdir != "" {
				there["subdir"] = filepath.Join(place, strings.ReplaceAll(c.subdir, "PID", number))
				must(t, os.MkdirAll(filepath.Join(there["subdir"], "deeper"), 0o700))
				c.state.Subdir = there["subdir"]
			}
			there["record"] = forge(t, base, c.state)
			var w strings.Builder
			n, err := cleanBase(base, &w)
			if err != nil {
				t.Error(err)
			}
			gone := 0
			for what, path := range there {
				_, err := os.Lstat(path)
				if kept := err == nil; kept != slices.Contains(c.keeps, what) {
					t.Errorf("%s is there: %v; output %q", what, kept, w.String())
				}
				if errors.Is(err, os.ErrNotExist) {
					gone++
				}
			}
			if n != gone {
				t.Errorf("%d counted, %d gone: %q", n, gone, w.String())
			}
		})
	}
}

// TestCleanMindsItsBase: foreign entries and a base that others may write to.
func TestCleanMindsItsBase(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base")
	var w strings.Builder
	if n, err := cleanBase(base, &w); n != 0 || err != nil {
		t.Errorf("no base: %d, %v", n, err)
	}
	must(t, os.Mkdir(base, 0o700))
	for _, name := range []string{"1", "x-1", "1-", "-1", "1-2-3-4", "0-5", "99999999999-1", "1-99999999999999999999"} {
		must(t, os.Mkdir(filepath.Join(base, name), 0o700))
	}
	must(t, os.WriteFile(filepath.Join(base, "1-2"), nil, 0o600))
	if n, err := cleanBase(base, &w); n != 0 || err != nil || len(entriesWith(base, "")) != 9 {
		t.Errorf("entries that are not ours: %d, %v, %q", n, err, entriesWith(base, ""))
	}
	must(t, os.Chmod(base, 0o777))
	if _, err := cleanBase(base, &w); err == nil || !strings.Contains(err.Error(), base) {
		t.Errorf("a base that anybody may write to: %v", err)
	}
	if _, err := newEntry(base); err == nil {
		t.Error("an entry in a base that anybody may write to")
	}
	if os.Geteuid() == 0 {
		must(t, errors.Join(os.Chmod(base, 0o700), os.Chown(base, 65534, 65534)))
		if n, err := cleanBase(base, &w); n != 0 || err != nil {
			t.Errorf("another's base: %d, %v; nothing of ours can be there", n, err)
		}
		if _, err := newEntry(base); !errors.Is(err, errForeign) {
			t.Errorf("an entry in another's base: %v", err)
		}
	}
	if w.Len() != 0 {
		t.Errorf("output %q", w.String())
	}
}
