//go:build linux && amd64

package smoke

import (
	"slices"
	"strings"
	"testing"

	"diostress/internal/need"
	"diostress/internal/verdict"
	"diostress/scripts/vm/kernels"
	"diostress/scripts/vm/lab"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/trial"
)

// machines opens a lab with the kernel that is required everywhere.
func machines(t *testing.T) (*lab.Lab, kernels.Kernel) {
	t.Helper()
	l, err := lab.Open(t.Context(), lab.Options{Log: t.Logf})
	var k kernels.Kernel
	if err == nil {
		k, err = l.Cache.Get(t.Context(), kernels.Request{Spec: "6.1", Flavour: kernels.Cloud})
	}
	switch {
	case lab.Unavailable(err):
		need.Skip(t, need.VM, err.Error())
	case err != nil:
		t.Fatal(err)
	}
	return l, k
}

func TestHealthyKernelPasses(t *testing.T) {
	if testing.Short() {
		need.Skip(t, need.VM, "-short")
	}
	l, k := machines(t)
	out, err := trial.Run(t.Context(), trial.Setup{Lab: l, Kernel: k}, []trial.Cell{{
		Name: "smoke", Engine: "libaio", Format: "ext4", Timeout: 120,
		Args: []string{"--bs", "4k", "--size", "1m", "--iodepth", "16", "--runtime", "2", "--dirty", "mmap=1,write=1,fsync=1", "--stuck-timeout", "60s"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	o := out[0]
	if o.State != machine.Finished || o.Result == nil {
		t.Fatalf("kernel %s: %s: %s, status %d\n%s", k.Version, o.State, o.Detail, o.Status, o.Output)
	}
	t.Logf("kernel %s: %s: %s", k.Version, o.Result.Verdict, o.Result.Reason)
	if len(o.Oops) > 0 {
		t.Errorf("the kernel log says: %q", o.Oops)
	}
	// A machine that shares its processors may not reach the pressure in 2 s;
	// every other rule has to hold.
	for _, r := range o.Result.Rules {
		if r.Required && !slices.Contains([]verdict.Verdict{verdict.Pass, verdict.NotApplicable}, r.Verdict) && r.Name != "adequacy" {
			t.Errorf("%s: %s: %s", r.Name, r.Verdict, r.Reason)
		}
	}
	if run := o.First(); run == nil || run.Completions.Completed == 0 {
		t.Error("no write was completed")
	}
	if env := o.Result.Environment; !strings.HasPrefix(env.Kernel, "6.1.") {
		t.Errorf("it ran on %q", env.Kernel)
	}
}

func TestKernelThatDoesNotBootIsNamed(t *testing.T) {
	if testing.Short() {
		need.Skip(t, need.VM, "-short")
	}
	l, k := machines(t)
	r, err := l.Run(t.Context(), lab.Boot{Kernel: k, Cmdline: []string{"rdinit=/no/such/init"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.State != machine.NeverBooted || r.State.ExitStatus(0) != machine.ExitBroken || !strings.Contains(r.Detail, "panic") {
		t.Errorf("%s: %s, exit status %d", r.State, r.Detail, r.State.ExitStatus(0))
	}
}
