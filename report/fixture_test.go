package report

import (
	"fmt"

	"diostress/internal/verdict"
)

// passing is what a healthy kernel gives on ext4 with two engines.
func passing() *verdict.Result {
	r := &verdict.Result{
		SchemaVersion: verdict.SchemaVersion, Program: "dioStress v1.2.3", Verdict: verdict.Pass, Reason: "no rule was broken",
		Seed: 0xfeed5eed12345678, Repro: "dioStress --seed 0xfeed5eed12345678 --fs ext4 --ioengine io_uring,libaio --runtime 10",
		StartTime: "2026-11-25T22:34:00+01:00", ElapsedNS: 23_456_000_000,
		Environment: verdict.Environment{
			Kernel: "6.18.44", KernelBuild: "#1 SMP PREEMPT_DYNAMIC Mon Nov 3 10:00:00 UTC 2026", Machine: "x86_64", Hostname: "lab-7", CPUs: 8,
			MemoryBytes: 16 << 30, PageSize: 4096, Config: map[string]string{"CONFIG_KPROBES": "y", "CONFIG_KASAN": "unknown"},
			FSType: "ext4", FSConfig: "4k", FSBlockSize: 4096, MkfsOptions: "-b 4096", MountOptions: "rw,relatime", Device: "/dev/loop3",
			DeviceStack: []string{"ext4 on /dev/loop3", "loop over /dev/shm/diostress-1.img", "tmpfs"}, LogicalBlock: 512, DIOMemAlign: 4, DIOOffAlign: 512,
			Engines: map[string]string{"io_uring": "features 0x3fff, plain", "libaio": "user-space reap"}, Tracing: "perf_event_open",
			ContractEra: "5.9 and later", GoVersion: "go1.26.8", GOMAXPROCS: 8, KmsgBudget: "10 of 10 left", TransparentHP: "madvise",
		},
		NotChecked: []string{"post-write failures: no exact count (kprobes are not allowed here); the EIOs at fsync are a lower bound"},
	}
	for _, e := range []string{"io_uring", "libaio"} {
		addRun(r, "4k."+e, e)
	}
	return r
}

// addRun enters a passing run with its rules.
func addRun(r *verdict.Result, name, engine string) {
	lat := func(base int64, n uint64) verdict.Latency {
		l := verdict.Latency{Min: base, Max: 90 * base, Mean: 3.25 * float64(base), Stddev: float64(base), N: n}
		for i, p := range []float64{1, 50, 90, 99, 99.9, 99.99} {
			l.Percentiles = append(l.Percentiles, verdict.Percentile{P: p, Value: base * int64(i*i+1)})
		}
		for i := range int64(4) {
			l.Bins = append(l.Bins, verdict.Bin{From: base << i, To: base << (i + 1), N: n / 4})
		}
		return l
	}
	u := verdict.Run{
		Name: name, IOEngine: engine, FSConfig: "4k", Verdict: verdict.Pass, RuntimeNS: 10_000_500_000,
		Completions: verdict.Completions{Submitted: 120400, Completed: 120400, Full: 120400, Failed: map[string]uint64{}, LeakedErrno: map[string]uint64{}, BackPressure: 12},
		Latency:     verdict.Latencies{Clat: lat(12_340, 120400), Lat: lat(15_000, 120400), Direct: lat(14_000, 72000), Collided: lat(31_000, 48400)},
		IOBytes:     120400 * 4096, Submits: 6000, Reaps: 6100, UserCPUNS: 900_000_000, SysCPUNS: 4_100_000_000,
		Collisions: verdict.Collisions{
			PreWrite:  verdict.Count{Count: 48400, Source: "iomap:iomap_dio_invalidate_fail", Fidelity: verdict.Exact},
			PostWrite: verdict.Count{Count: 12, Source: "EIO at fsync (coalesces)", Fidelity: verdict.AtLeast},
			PerSecond: 4839.8, Fraction: 0.402, Attributed: verdict.Attributed{Direct: 72000, BufferedFallback: 48400},
		},
		Fsync: verdict.Fsync{Calls: 310, EIO: 12, Attributed: verdict.EIOCauses{Invalidation: 11, Ambiguous: 1}},
		Retry: verdict.Retry{Limit: 3, Running: []uint64{812, 33, 1}, Paused: []uint64{4, 0, 0}, GaveUp: 9},
		Data:  verdict.Data{Checked: true, Epochs: 5, WordsChecked: 655360, Stale: 8, StaleExcused: 8, LostConcurrent: 40, Overlap: 9123, ControlWrites: 60, CacheDropped: 5},
		KernelLog: verdict.KernelLog{Available: true, Lines: []string{
			"[  12.345678] Page cache invalidation failure on direct I/O.  Possible data corruption due to collision with buffered I/O!",
			"[  12.345690] File: /mnt/x/main.0 PID: 77 Comm: dioStress"}},
		Dirtiers: []verdict.Dirtier{{Kind: "mmap", Count: 2, Operations: 9_300_000, Overlaps: 9123, Targets: 8000}, {Kind: "fsync", Count: 1, Operations: 310, Errors: 0}},
		Adequacy: verdict.Adequacy{Required: "100 pre-write failures", Reached: "48400", Met: true},
		Offsets:  []uint64{1, 2, 3}, Profile: "rate: bs 4k, size 1m, iodepth 32", BlockSize: 4096, FileSize: 1 << 20, IODepth: 32, RW: "randwrite",
	}
	for i := range int64(4) {
		u.Series = append(u.Series, verdict.Sample{TimeNS: (i + 1) * 2_500_000_000, Writes: uint64(30000 + 100*i), Bytes: uint64(30000+100*i) * 4096, Collisions: 12100, FsyncEIO: 3, MaxLatNS: 1_000_000})
	}
	r.Runs = append(r.Runs, u)
	rule := func(name string, v verdict.Verdict, required bool, checked uint64, why string) {
		r.Rules = append(r.Rules, verdict.Rule{Name: name, Run: name2group(u), Verdict: v, Required: required, Checked: checked, Reason: why})
	}
	rule("completed_once", verdict.Pass, true, 120400, "")
	rule("no_stray", verdict.Pass, true, 120400, "")
	rule("legal_result", verdict.Pass, true, 120400, "")
	rule("no_stuck_io", verdict.Pass, true, 120400, "")
	rule("eio_explained", verdict.Pass, true, 120400, "no write failed")
	rule("stale_reported", verdict.Undecided, false, 0, "no post-write failure was reported on the shared folios")
	rule("collisions_pass", verdict.NotApplicable, true, 0, "--retry 0")
	rule("adequacy", verdict.Pass, true, 48400, "")
}

func name2group(u verdict.Run) string { return u.Name }

// fail enters a finding.
func fail(r *verdict.Result, run, rule string, count uint64, text string, w ...verdict.Witness) {
	for i := range r.Rules {
		if r.Rules[i].Run == run && r.Rules[i].Name == rule {
			r.Rules[i].Verdict, r.Rules[i].Reason = verdict.Fail, text
		}
	}
	for i := range r.Runs {
		if r.Runs[i].Name == run {
			r.Runs[i].Verdict = verdict.Fail
		}
	}
	r.Findings = append(r.Findings, verdict.Finding{Rule: rule, Verdict: verdict.Fail, Run: run, Count: count, Text: text, Witnesses: w})
	r.Verdict, r.Reason = verdict.Fail, r.Findings[0].Rule+": "+r.Findings[0].Text
}

// failing is a broken kernel: lost completions and a poisoned buffer.
func failing() *verdict.Result {
	r := passing()
	r.Runs[1].Completions.Lost = 2
	r.Runs[1].Completions.Failed = map[string]uint64{"EIO": 3}
	r.Runs[1].Completions.LeakedErrno = map[string]uint64{"EIOCBQUEUED": 1}
	r.Runs[1].KernelLog.TaintAfter = 512
	fail(r, "4k.libaio", "completed_once", 2, "2 of 120402 submissions never completed",
		verdict.Witness{TimeNS: 1_234_567_890, File: "main.0", Offset: 0x3000, Length: 4096, Tag: 0x500000007, Evidence: "in flight for 30.001 s"},
		verdict.Witness{TimeNS: 1_300_000_000, File: "main.0", Length: 4096, Tag: 0x500000009, Evidence: "in flight for 29.001 s"})
	fail(r, "4k.libaio", "clean_filesystem", 1, "e2fsck -fn found errors after the run (exit 4): x.img: ********** WARNING: Filesystem still has errors **********",
		verdict.Witness{Evidence: "e2fsck 1.47.0 (5-Feb-2023)\nPass 1: Checking inodes, blocks, and sizes\nInode 12, i_blocks is 16, should be 8.  Fix? no\n"})
	return r
}

// stuck is a run whose writes never came back.
func stuck() *verdict.Result {
	r := passing()
	r.Stuck = true
	fail(r, "4k.io_uring", "no_stuck_io", 1, "no completion for 30.0 s with 1 writes in flight; sysrq-w shows jbd2",
		verdict.Witness{TimeNS: 5, File: "main.0", Offset: 4096, Length: 4096, Tag: 7, Evidence: "in flight"}, verdict.Witness{Evidence: "blocked: jbd2/loop3-8"})
	return r
}

// undecided is a run with too little pressure and without tracing.
func undecided() *verdict.Result {
	r := passing()
	r.Runs, r.Rules = r.Runs[:1], r.Rules[:8]
	u := &r.Runs[0]
	u.Verdict = verdict.Undecided
	u.Collisions = verdict.Collisions{PreWrite: verdict.Count{Source: "tracing unavailable: no permission", Fidelity: verdict.Unavailable},
		PostWrite: verdict.Count{Fidelity: verdict.Unavailable}}
	u.Data, u.KernelLog, u.Fsync = verdict.Data{Checked: true, Overlap: 12}, verdict.KernelLog{}, verdict.Fsync{}
	u.Adequacy = verdict.Adequacy{Required: "1000 writes overlapped", Reached: "12 writes overlapped"}
	r.Rules[7].Verdict, r.Rules[7].Reason = verdict.Undecided, "required 1000 writes overlapped, reached 12"
	r.Verdict, r.Reason = verdict.Undecided, "adequacy: "+r.Rules[7].Reason
	r.Environment.Tracing = "unavailable: no permission"
	return r
}

// broken never got as far as a run.
func broken() *verdict.Result {
	r := passing()
	r.Runs, r.Rules, r.NotChecked = nil, nil, nil
	r.Verdict, r.Reason = verdict.Broken, `mke2fs -F -t ext4: exit status 1: "No space left on device"`
	return r
}

// unsupported had no engine to run.
func unsupported() *verdict.Result {
	r := broken()
	r.Verdict, r.Reason = verdict.Unsupported, "io_uring: io_uring_disabled is 2"
	r.Skipped = []verdict.Skip{{Name: "io_uring", Reason: "io_uring_disabled is 2: ask root for sysctl kernel.io_uring_disabled=0"}}
	return r
}

// noRoot has nothing at all to show.
func noRoot() *verdict.Result {
	r := broken()
	r.Verdict, r.Reason = verdict.Unsupported, "--fs needs root"
	return r
}

// matrix is scenarios by configurations, repeated, with two jobs a run, one
// flaky failure and one run that broke before its jobs began.
func matrix() *verdict.Result {
	r := passing()
	r.Runs, r.Rules = nil, nil
	for _, cfg := range []string{"4k", "1k", "ext3"} {
		for _, sc := range []string{"readahead", "extend"} {
			for loop := 1; loop <= 5; loop++ {
				name := fmt.Sprintf("%s.%s.io_uring.loop%d", cfg, sc, loop)
				addRun(r, name, "io_uring")
				second := r.Runs[len(r.Runs)-1]
				first := &r.Runs[len(r.Runs)-1]
				first.Name, first.Scenario, first.Loop, first.FSConfig = name+".0", sc, loop, cfg
				second.Name, second.Scenario, second.Loop, second.FSConfig, second.Job = name+".1", sc, loop, cfg, 1
				second.Fsync, second.Data, second.Dirtiers, second.KernelLog, second.Series = verdict.Fsync{}, verdict.Data{}, nil, verdict.KernelLog{}, nil
				r.Runs = append(r.Runs, second)
			}
		}
	}
	for _, loop := range []string{"loop2", "loop4"} {
		run := "1k.extend.io_uring." + loop
		fail(r, run, "no_stray", 1, "1 completions carry a tag that was never submitted", verdict.Witness{Tag: 9, Res: -5})
		for i := range r.Runs {
			if r.Runs[i].Name == run+".0" || r.Runs[i].Name == run+".1" {
				r.Runs[i].Verdict = verdict.Fail
			}
		}
	}
	r.Rules = append(r.Rules, verdict.Rule{Name: "completed_once", Run: "dax.extend.io_uring", Verdict: verdict.Undecided, Required: true, Reason: "the harness broke: mount failed"})
	r.Flaky = []verdict.Flaky{{Name: "1k.extend.io_uring", Failed: 2, Total: 5}}
	r.Skipped = []verdict.Skip{{Name: "libaio", Reason: "aio-max-nr is used up"}}
	return r
}

// flood has a finding for everything.
func flood(n int) *verdict.Result {
	r := passing()
	for i := range n {
		rule := []string{"completed_once", "no_stray", "legal_result"}[i%3]
		fail(r, "4k.io_uring", rule, 1, fmt.Sprintf("finding %d", i), verdict.Witness{TimeNS: int64(i), File: "main.0", Offset: int64(i) * 512, Length: 512, Evidence: "x"})
	}
	return r
}

// quiet has not a single collision.
func quiet() *verdict.Result {
	r := passing()
	for i := range r.Runs {
		u := &r.Runs[i]
		u.Collisions = verdict.Collisions{PreWrite: verdict.Count{Source: "iomap:iomap_dio_invalidate_fail", Fidelity: verdict.Exact},
			PostWrite: verdict.Count{Source: "EIO at fsync (coalesces)", Fidelity: verdict.AtLeast}, Attributed: verdict.Attributed{Direct: 120400}}
		u.Fsync.EIO, u.Fsync.Attributed, u.Offsets, u.Latency.Collided = 0, verdict.EIOCauses{}, nil, verdict.Latency{}
	}
	return r
}

// results are all of the above by name.
func results() map[string]*verdict.Result {
	return map[string]*verdict.Result{
		"pass": passing(), "fail": failing(), "stuck": stuck(), "undecided": undecided(), "broken": broken(), "unsupported": unsupported(),
		"noroot": noRoot(), "matrix": matrix(), "quiet": quiet(), "flood": flood(10_000), "empty": {},
	}
}
