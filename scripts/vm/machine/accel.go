package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Accel is how QEMU runs the guest's instructions.
type Accel string

// The accelerators. TCG is software emulation.
const (
	KVM Accel = "kvm"
	TCG Accel = "tcg"
)

// ParseAccel reads a flag value; "auto" gives "".
func ParseAccel(s string) (Accel, error) {
	switch s {
	case "auto":
		return "", nil
	case string(KVM), string(TCG):
		return Accel(s), nil
	}
	return "", fmt.Errorf("accelerator %q is not known; valid: auto, kvm, tcg", s)
}

// args: under TCG the CPU is an old one, because Go programs use AVX2 where
// they find it, and TCG emulates that at a tenth of the speed of SSE2. RDRAND
// lets the kernel's random numbers begin at once: mke2fs waits 4 s for them.
//
// With a thread for each CPU, a guest that patches its code often (kprobes,
// tracepoints, static keys) now and then spins for ever at an int3 that is no
// longer there (seen with QEMU 7.2). oneThread lets the CPUs take turns.
func (a Accel) args(oneThread bool) []string {
	if a == KVM {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	threads := "multi"
	if oneThread {
		threads = "single"
	}
	return []string{"-accel", "tcg,thread=" + threads, "-cpu", "Nehalem,+rdrand"}
}

// kvmProbeLimit is how long the probe's kernel may take to user space; where
// KVM works that is under 2 s.
const kvmProbeLimit = 10 * time.Second

// ProbeAccel finds out whether KVM really boots a kernel here: /dev/kvm may be
// there and still not run one (nested in a host that emulates it). boot boots
// any small guest with the given accelerator and limit and says whether user
// space was reached. The answer is kept in cacheDir until the host reboots.
func ProbeAccel(ctx context.Context, cacheDir string, boot func(context.Context, Accel, time.Duration) (bool, error)) (Accel, error) {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return TCG, nil // no KVM or no right to use it
	}
	f.Close()
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	kept := filepath.Join(cacheDir, "accel")
	if b, err := os.ReadFile(kept); err == nil {
		was, answer, ok := strings.Cut(strings.TrimSpace(string(b)), " ")
		if ok && was == strings.TrimSpace(string(id)) && (answer == string(KVM) || answer == string(TCG)) {
			return Accel(answer), nil
		}
	}
	works, err := boot(ctx, KVM, kvmProbeLimit)
	if err != nil {
		return "", fmt.Errorf("KVM probe: %w", err)
	}
	answer := TCG
	if works {
		answer = KVM
	}
	return answer, os.WriteFile(kept, fmt.Appendf(nil, "%s %s\n", strings.TrimSpace(string(id)), answer), 0o644)
}
