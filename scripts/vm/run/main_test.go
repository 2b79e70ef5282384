//go:build linux && amd64

package main

import (
	"bytes"
	"strings"
	"testing"

	"diostress/scripts/vm/machine"
)

func TestUsageNamesWhatIsWrong(t *testing.T) {
	for args, want := range map[string]string{
		"--kernel latest": `"latest"`, "--fs ntfs": `"ntfs"`, "--format me": `"me"`, "--flavour rt": `"rt"`, "--timeout 0": "--timeout 0",
		"--memory 1": "--memory 1", "--accel hax": `"hax"`, "stray --": `"stray"`, "--no-such-flag": "no-such-flag", "--disk-size 1": "--disk-size 1",
	} {
		var out, err bytes.Buffer
		if status := run(t.Context(), strings.Fields(args), &out, &err); status != machine.ExitUsage || out.Len() > 0 || !strings.Contains(err.String(), want) {
			t.Errorf("%s: status %d, %q", args, status, &err)
		}
	}
}

func TestHelp(t *testing.T) {
	var out, err bytes.Buffer
	if status := run(t.Context(), []string{"--help"}, &out, &err); status != 0 || !strings.Contains(err.String(), "--kernel") {
		t.Errorf("status %d, %q", status, &err)
	}
}

func TestArgumentsAfterTheDashesAreDioStress(t *testing.T) {
	o, err := parse([]string{"--kernel", "6.12", "--", "--runtime", "5", "--kernel"}, &bytes.Buffer{})
	if err != nil || strings.Join(o.args, " ") != "--runtime 5 --kernel" || o.kernel != "6.12" {
		t.Errorf("%+v, %v", o, err)
	}
	for fs, want := range map[string]string{"ext4": "--device", "ext3-1k": "--fs-config", "xfs": "--directory"} {
		o.fs = fs
		if target, err := o.target(); err != nil || !strings.Contains(strings.Join(target.Args, " "), want) {
			t.Errorf("%s: %q, %v", fs, target.Args, err)
		}
	}
}
