package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"diostress/scripts/vm/initramfs"
	"diostress/scripts/vm/wire"
)

func TestTargets(t *testing.T) {
	for _, c := range []struct{ name, format, args string }{
		{"raw", "ext4", "--device /dev/vm/test-ext4 --destroy-data --fs ext4"},
		{"raw", "ext3-1k", "--device /dev/vm/test-ext3-1k --destroy-data --fs ext3 --fs-config 1k"},
		{"formatted", "ext4-packed", "--directory /mnt/test-ext4-packed"},
		{"formatted", "xfs", "--directory /mnt/test-xfs"},
	} {
		make := map[string]func(string, int64) (Target, error){"raw": Raw, "formatted": Formatted}[c.name]
		got, err := make(c.format, 64<<20)
		if err != nil || strings.Join(got.Args, " ") != c.args {
			t.Errorf("%s %s: %q, %v", c.name, c.format, got.Args, err)
		}
		if len(got.Disk.Serial) > 20 {
			t.Errorf("serial number %q has more than the 20 characters of NVMe", got.Disk.Serial)
		}
		if (got.Disk.Format == "") != (c.name == "raw") || got.Tools != (c.name == "raw") {
			t.Errorf("%s %s: %+v", c.name, c.format, got)
		}
	}
	for _, format := range []string{"xfs", "zfs"} {
		if _, err := Raw(format, 1); err == nil || !strings.Contains(err.Error(), format) {
			t.Errorf("raw %s: %v", format, err)
		}
	}
}

func TestTargeted(t *testing.T) {
	for args, want := range map[string]bool{
		"": false, "--runtime 5": false, "--runtime=5 --directory=/x": true, "--device /dev/vdb": true, "judge /out/log": true, "--version": true,
	} {
		if got := Targeted(strings.Fields(args)); got != want {
			t.Errorf("%q: %v", args, got)
		}
	}
}

func TestHostLimit(t *testing.T) {
	if got := hostLimit([]wire.Command{{TimeoutSec: 10}, {TimeoutSec: 20}}); got != 90*time.Second {
		t.Errorf("%s", got)
	}
	if got := hostLimit([]wire.Command{{TimeoutSec: 10}, {}}); got != 24*time.Hour {
		t.Errorf("without a timeout: %s", got)
	}
}

func TestTreeLeavesOutWhatIsHiddenOrLarge(t *testing.T) {
	root := t.TempDir()
	for name, size := range map[string]int{"go.mod": 10, "a/testdata/x": 10, ".git/config": 10, ".cache/vm/big": 10, ".gitignore": 1, "large": 3 << 20} {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, bytes.Repeat([]byte("x"), size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := initramfs.New()
	if err := tree(a, root); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, name := range []string{"go.mod", "a/testdata/x", ".git/config", ".cache/vm/big", ".gitignore", "large"} {
		got[name] = a.Has(filepath.Join(root, name))
	}
	want := map[string]bool{"go.mod": true, "a/testdata/x": true, ".git/config": false, ".cache/vm/big": false, ".gitignore": false, "large": false}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}
