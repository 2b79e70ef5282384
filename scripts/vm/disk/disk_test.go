package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"diostress/internal/need"
)

func tool(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := findTool(n); err != nil {
			need.Skip(t, need.Tool, err.Error())
		}
	}
}

func TestEveryExtFormatIsMadeAndClean(t *testing.T) {
	tool(t, "mkfs.ext4", "mkfs.ext3", "e2fsck", "cp")
	dir := t.TempDir()
	for _, name := range FormatNames() {
		f, err := FormatByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if f.FSType == "xfs" {
			continue // 300 MiB at the least: made by the matrix where asked for
		}
		p := filepath.Join(dir, name)
		if err := Make(t.Context(), filepath.Join(dir, "cache"), p, f, 64<<20); err != nil {
			t.Fatal(err)
		}
		if why, err := Check(t.Context(), p, f); why != "" || err != nil {
			t.Errorf("%s: %q, %v", name, why, err)
		}
		os.Remove(p)
	}
}

// Behind the start of the data there is nothing but free blocks.
func TestDataStart(t *testing.T) {
	tool(t, "mkfs.ext4", "mkfs.ext3", "dumpe2fs", "cp")
	dir := t.TempDir()
	for _, name := range []string{"ext4-packed", "ext3-packed"} {
		f, err := FormatByName(name)
		if err != nil {
			t.Fatal(err)
		}
		p := filepath.Join(dir, name)
		if err := Make(t.Context(), filepath.Join(dir, "cache"), p, f, 96<<20); err != nil {
			t.Fatal(err)
		}
		start, err := DataStart(t.Context(), p)
		if err != nil || start < 8<<20 || start > 24<<20 {
			t.Fatalf("%s: %d, %v", name, start, err)
		}
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range b[start:] {
			if c != 0 {
				t.Fatalf("%s: byte %d behind the start of the data is in use", name, i)
			}
		}
	}
	if _, err := DataStart(t.Context(), os.DevNull); err == nil {
		t.Error("no file system, yet data starts somewhere")
	}
}

func TestCheckSeesDamage(t *testing.T) {
	tool(t, "mkfs.ext4", "e2fsck", "cp")
	dir := t.TempDir()
	f, err := FormatByName("ext4")
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(dir, "img")
	if err := Make(t.Context(), filepath.Join(dir, "cache"), p, f, 64<<20); err != nil {
		t.Fatal(err)
	}
	img, err := os.OpenFile(p, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The group descriptors lie in the second block.
	if _, err := img.WriteAt([]byte(strings.Repeat("\xff", 64)), 4096); err != nil {
		t.Fatal(err)
	}
	img.Close()
	if why, err := Check(t.Context(), p, f); why == "" || err != nil {
		t.Errorf("a damaged file system passes: %q, %v", why, err)
	}
}

func TestBlankIsSparse(t *testing.T) {
	p := filepath.Join(t.TempDir(), "blank")
	if err := Blank(p, 1<<30); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() != 1<<30 || used > 1<<20 {
		t.Errorf("%d bytes, %d of them used", info.Size(), used)
	}
}

func TestErrorsNameWhatIsValid(t *testing.T) {
	if _, err := FormatByName("ntfs"); err == nil || !strings.Contains(err.Error(), `"ntfs"`) || !strings.Contains(err.Error(), "ext3-1k") {
		t.Errorf("%v", err)
	}
	if _, err := findTool("no-such-tool"); !errors.Is(err, ErrTool) {
		t.Errorf("%v", err)
	}
	if err := run(t.Context(), []string{"sh", "-c", "echo why >&2; exit 3"}); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("%v", err)
	}
}
