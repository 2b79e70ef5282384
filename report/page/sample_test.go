package page

import (
	"fmt"
	"math"
	"math/rand/v2"

	"diostress/internal/verdict"
)

// The results that the tests render. They are made from a fixed seed and look
// like what a 10 s run gives.

var ruleNames = []string{
	"completed_once", "no_stray", "legal_result", "no_leaked_errno", "no_stuck_io", "not_early", "clean_filesystem",
	"eio_explained", "kernel_contract", "kernel_log", "collisions_pass", "errseq_once", "errseq_reported",
	"control_data", "cache_coherent", "stale_reported", "not_torn", "no_foreign_data", "no_poison", "adequacy",
}

func environmentSample() verdict.Environment {
	return verdict.Environment{
		Kernel: "6.18.44", KernelBuild: "#1 SMP PREEMPT_DYNAMIC Tue Nov 10 09:12:44 UTC 2026", Machine: "x86_64", Hostname: "lab-07",
		CPUs: 2, MemoryBytes: 8323072 << 10, PageSize: 4096,
		Config: map[string]string{"KASAN": "n", "LOCKDEP": "n", "DEBUG_VM": "n", "PREEMPT_DYNAMIC": "y", "HZ": "250", "AIO": "y",
			"IO_URING": "y", "EXT4_FS": "y", "KPROBES": "y", "KPROBE_EVENTS": "y", "FAULT_INJECTION": "unknown", "TRANSPARENT_HUGEPAGE": "y", "DETECT_HUNG_TASK": "n"},
		FSType: "ext4", FSConfig: "4k", FSBlockSize: 4096, MkfsOptions: "-b 4096 -O ^has_journal", MountOptions: "rw,relatime,nodelalloc",
		Device: "/dev/loop3", DeviceStack: []string{"ext4 on /dev/loop3", "loop over /dev/shm/diostress-1f03/image", "tmpfs"},
		LogicalBlock: 512, DIOMemAlign: 4, DIOOffAlign: 512,
		Engines: map[string]string{"io_uring": "SINGLE_ISSUER DEFER_TASKRUN TASKRUN_FLAG, 64 sqes", "libaio": "user-space reap, aio-max-nr 65536", "psync": "pwritev2"},
		Tracing: "perf_event_open", ContractEra: "5.9 and later", GoVersion: "go1.26.0", GOMAXPROCS: 8,
		KmsgBudget: "7 of 10", TransparentHP: "madvise",
	}
}

func latencySample(rnd *rand.Rand, n uint64, middle, width float64) verdict.Latency {
	l := verdict.Latency{N: n, Min: int64(middle / 4), Max: int64(middle * 90), Mean: middle * 1.2, Stddev: middle * 0.8}
	for _, p := range []float64{1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99} {
		l.Percentiles = append(l.Percentiles, verdict.Percentile{P: p, Value: int64(middle * math.Pow(1+p/100, 1.2) * math.Pow(100/(100.01-p), 0.45) / 2)})
	}
	for from, half := int64(1024), false; from < 1<<32; half = !half {
		to := from + from/2
		if half {
			to = from / 3 * 4
		}
		d := (math.Log2(float64(from)) - math.Log2(middle)) / width
		c := float64(n) * 0.25 * math.Exp(-d*d/2)
		if d > 0 {
			c += float64(n) * 0.02 * math.Exp(-d*1.6)
		}
		if c *= 0.8 + 0.4*rnd.Float64(); c >= 1 {
			l.Bins = append(l.Bins, verdict.Bin{From: from, To: to, N: uint64(c)})
		}
		from = to
	}
	return l
}

func runSample(name, engine string, seed uint64) verdict.Run {
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := verdict.Run{
		Name: name, IOEngine: engine, FSConfig: "4k", Verdict: verdict.Pass, RuntimeNS: 10_004_112_907,
		BlockSize: 4096, FileSize: 1 << 20, IODepth: 32, RW: "randwrite", Profile: "rate: mmap=2, file of 1 MiB, chase the newest write",
		Submits: 41_207, Reaps: 39_551, UserCPUNS: 1_204_000_000, SysCPUNS: 6_718_000_000,
	}
	base := 7000 + 3000*rnd.Float64()
	var writes, collided, eio uint64
	for i := range 50 {
		w := uint64(base/5 + 200*rnd.NormFloat64())
		if i == 22 || i == 23 {
			w /= 4
		}
		c := uint64(float64(w) * (0.55 + 0.08*rnd.NormFloat64()))
		e := uint64(max(0, 12+6*rnd.NormFloat64()))
		r.Series = append(r.Series, verdict.Sample{TimeNS: int64(i+1) * 200_081_337, Writes: w, Bytes: w * 4096, Collisions: c, FsyncEIO: e, MaxLatNS: int64(3e6 + 2e6*rnd.Float64())})
		writes, collided, eio = writes+w, collided+c, eio+e
	}
	r.IOBytes = writes * 4096
	r.Completions = verdict.Completions{Submitted: writes, Completed: writes, Full: writes, Failed: map[string]uint64{}, LeakedErrno: map[string]uint64{}, BackPressure: 12}
	r.Collisions = verdict.Collisions{
		PreWrite:  verdict.Count{Count: collided, Source: "iomap:iomap_dio_invalidate_fail", Fidelity: verdict.Exact},
		PostWrite: verdict.Count{Count: eio + 214, Source: "EIO at fsync (coalesces)", Fidelity: verdict.AtLeast},
		PerSecond: float64(collided) / 10.004, Fraction: float64(collided) / float64(writes),
		Attributed: verdict.Attributed{Direct: writes - collided - 31, BufferedFallback: collided, Unknown: 31},
	}
	r.Latency = verdict.Latencies{
		Slat: latencySample(rnd, writes, 9_000, 1.0), Clat: latencySample(rnd, writes, 700_000, 1.4), Lat: latencySample(rnd, writes, 720_000, 1.5),
		Direct: latencySample(rnd, writes-collided-31, 480_000, 1.1), Collided: latencySample(rnd, collided, 1_400_000, 1.3),
	}
	r.Fsync = verdict.Fsync{Calls: 4210, EIO: eio, Attributed: verdict.EIOCauses{Invalidation: eio - 3, Ambiguous: 3}}
	r.Retry = verdict.Retry{Limit: 8, Running: []uint64{1204, 388, 120, 41, 12, 3, 1, 2}, Paused: []uint64{14, 0, 0, 0, 0, 0, 0, 0}, GaveUp: 14}
	r.Data = verdict.Data{Checked: true, Epochs: 9, WordsChecked: 3_538_944, Stale: 412, StaleExcused: 412, LostConcurrent: 37, Overlap: 51_204, ControlWrites: 2210, CacheDropped: 9}
	r.KernelLog = verdict.KernelLog{Available: true, TaintBefore: 512, TaintAfter: 512,
		Lines:   []string{"Page cache invalidation failure on direct I/O.  Possible data corruption due to collision with buffered I/O!", "File: /mnt/diostress/job0 PID: 4711 Comm: dioStress"},
		TimesNS: []int64{1_204_551_000, 1_204_553_000}}
	r.Dirtiers = []verdict.Dirtier{{Kind: "mmap", Count: 2, Operations: 9_412_004, Overlaps: 51_204}, {Kind: "write", Count: 1, Operations: 88_124, Overlaps: 4_102}, {Kind: "fsync", Count: 1, Operations: 4210}}
	r.Adequacy = verdict.Adequacy{Required: "100 pre-write failures counted", Reached: fmt.Sprintf("%d pre-write failures", collided), Met: true}
	r.Offsets = make([]uint64, 64)
	for i := range r.Offsets {
		r.Offsets[i] = collided/80 + uint64(float64(collided)/160*rnd.Float64())
		if i > 40 && i < 48 {
			r.Offsets[i] *= 3
		}
	}
	return r
}

func normal() *verdict.Result {
	r := &verdict.Result{
		SchemaVersion: 1, Program: "dioStress 0.1.0", Verdict: verdict.Pass, Reason: "no rule was broken", Seed: 7412093318842167,
		Repro:     "dioStress --fs ext4 --fs-config 4k --ioengine io_uring,libaio,psync --bs 4k --size 1m --iodepth 32 --rw randwrite --runtime 10 --dirty mmap=2,write=1,fsync=1 --retry 8 --seed 7412093318842167",
		StartTime: "2026-11-25T22:24:56+00:00", ElapsedNS: 34_210_000_000, Environment: environmentSample(),
		NotChecked: []string{"post-write failures: no exact count (kprobes are not allowed here); the EIOs at fsync are a lower bound"},
	}
	for i, e := range []string{"io_uring", "libaio", "psync"} {
		r.Runs = append(r.Runs, runSample(e, e, uint64(i+1)))
		for _, n := range ruleNames {
			u := verdict.Rule{Name: n, Run: e, Verdict: verdict.Pass, Required: n != "not_early", Checked: 74_210}
			if n == "stale_reported" {
				u.Verdict, u.Checked, u.Reason = verdict.NotApplicable, 0, "a folio holds one block here (block size = page size, no large folios)"
			}
			r.Rules = append(r.Rules, u)
		}
	}
	return r
}

// failing is a kernel of the kind that the 2007 thread is about.
func failing() *verdict.Result {
	r := normal()
	r.Verdict, r.Reason, r.Stuck = verdict.Fail, "completed_once: 12 iocbs were completed twice, first with -EIO", false
	w := func(i int64) verdict.Witness {
		return verdict.Witness{TimeNS: 1_204_551_204 + i*733_102_011, File: "job0", Offset: 40960 + i*4096, Length: 4096, Tag: 0x1a00000007 + uint64(i), Res: -5,
			Evidence: fmt.Sprintf("second completion 412 µs after the first (res %d), slot 7", 4096)}
	}
	r.Findings = []verdict.Finding{
		{Rule: "completed_once", Verdict: verdict.Fail, Run: "libaio", Count: 12, Text: "12 iocbs were completed twice, first with -EIO and then with their length", Witnesses: []verdict.Witness{w(0), w(1), w(2), w(3)}},
		{Rule: "no_leaked_errno", Verdict: verdict.Fail, Run: "libaio", Count: 3, Text: "3 completions carry -EIOCBQUEUED (-529), which is internal to the kernel", Witnesses: []verdict.Witness{{TimeNS: 3_100_020_118, File: "job0", Length: 4096, Tag: 0x9, Res: -529}}},
		{Rule: "kernel_log", Verdict: verdict.Fail, Run: "libaio", Count: 1, Text: "the kernel reports a hung task", Witnesses: []verdict.Witness{{TimeNS: 9_800_020_118, Evidence: "INFO: task jbd2/loop3-8:4711 blocked for more than 5 seconds.\n  Not tainted 6.18.44 #1\ntask:jbd2/loop3-8 state:D stack:0 pid:4711\nCall Trace:\n <TASK>\n __schedule+0x3f4/0x1020\n schedule+0x27/0xd0\n io_schedule+0x46/0x70\n folio_wait_bit_common+0x13d/0x350"}}},
	}
	l := &r.Runs[1]
	l.Verdict, l.Completions.Duplicate, l.Completions.LeakedErrno, l.Completions.Failed = verdict.Fail, 12, map[string]uint64{"EIOCBQUEUED": 3}, map[string]uint64{"EIO": 12}
	l.KernelLog.Lines = append(l.KernelLog.Lines, "INFO: task jbd2/loop3-8:4711 blocked for more than 5 seconds.")
	l.KernelLog.TimesNS = append(l.KernelLog.TimesNS, 9_800_020_118)
	l.KernelLog.TaintAfter |= 1 << 14
	for i := range r.Rules {
		for _, f := range r.Findings {
			if r.Rules[i].Run == f.Run && r.Rules[i].Name == f.Rule {
				r.Rules[i].Verdict, r.Rules[i].Reason = verdict.Fail, f.Text
			}
		}
	}
	return r
}

// quiet is a run that collided with nothing: zero, and known to be zero.
func quiet() *verdict.Result {
	r := normal()
	r.Verdict, r.Reason = verdict.Undecided, "adequacy: too little pressure: 0 pre-write failures; required: 100 pre-write failures counted"
	r.Runs = r.Runs[:1]
	r.Rules = r.Rules[:len(ruleNames)]
	x := &r.Runs[0]
	x.Verdict = verdict.Undecided
	for i := range x.Series {
		x.Series[i].Collisions, x.Series[i].FsyncEIO = 0, 0
	}
	x.Collisions.PreWrite.Count, x.Collisions.PostWrite.Count, x.Collisions.PerSecond, x.Collisions.Fraction = 0, 0, 0, 0
	x.Collisions.Attributed = verdict.Attributed{Direct: x.Completions.Completed}
	x.Latency.Direct, x.Latency.Collided = x.Latency.Lat, verdict.Latency{}
	x.Offsets = make([]uint64, 64)
	x.Fsync = verdict.Fsync{Calls: 4210}
	x.Retry = verdict.Retry{}
	x.Data.Stale, x.Data.StaleExcused = 0, 0
	x.KernelLog.Lines, x.KernelLog.TimesNS = nil, nil
	x.Adequacy = verdict.Adequacy{Required: "100 pre-write failures counted", Reached: "0 pre-write failures"}
	u := &r.Rules[len(ruleNames)-1]
	u.Verdict, u.Checked, u.Reason = verdict.Undecided, 0, "too little pressure: 0 pre-write failures; required: 100 pre-write failures counted"
	return r
}

// blind is a run where nobody could look: not one of its zeros is a number.
func blind() *verdict.Result {
	r := quiet()
	x := &r.Runs[0]
	r.Environment = verdict.Environment{Kernel: "6.1.0-31-amd64", FSType: "ext4", MemoryBytes: math.MaxUint64, CPUs: -1, Tracing: "unavailable: not root"}
	x.Collisions.PreWrite = verdict.Count{Source: "tracing: not root", Fidelity: verdict.Unavailable}
	x.Collisions.PostWrite = verdict.Count{Source: "no fsync", Fidelity: verdict.Unavailable}
	x.Collisions.Attributed = verdict.Attributed{Unknown: x.Completions.Completed}
	x.Latency.Direct = verdict.Latency{}
	x.Offsets, x.Fsync, x.Data, x.KernelLog, x.Dirtiers = nil, verdict.Fsync{}, verdict.Data{}, verdict.KernelLog{}, nil
	r.NotChecked = []string{"data: --verify none, so nothing was read back", "collisions: tracing unavailable: not root", "kernel log: /dev/kmsg cannot be read"}
	r.Skipped = []verdict.Skip{{Name: "libaio", Reason: "io_setup: fs.aio-max-nr is used up"}}
	return r
}

// flood has far more findings than anyone reads, each with long evidence.
func flood() *verdict.Result {
	r := failing()
	long := make([]byte, 3000)
	for i := range long {
		long[i] = "folio_wait_bit_common+0x13d/0x350\n"[i%34]
	}
	for i := range 10_000 {
		f := verdict.Finding{Rule: ruleNames[i%7], Verdict: verdict.Fail, Run: "libaio", Count: uint64(i + 1), Text: fmt.Sprintf("finding number %d of the flood", i)}
		for k := range 16 {
			f.Witnesses = append(f.Witnesses, verdict.Witness{TimeNS: int64(i*1000 + k), File: "job0", Offset: int64(k) * 4096, Length: 4096, Tag: uint64(i), Evidence: string(long)})
		}
		r.Findings = append(r.Findings, f)
	}
	r.Findings = r.Findings[3:]
	return r
}

// matrix is one machine's engines by file system configurations.
func matrix(n int) *verdict.Result {
	r := normal()
	r.Runs, r.Rules = nil, nil
	configs := []string{"4k", "1k", "ext3", "nojournal", "data_journal", "dioread_nolock", "bigalloc_4k", "encrypt", "adv", "ext3conv", "bigalloc_1k", "dax"}
	for i := range n {
		engine, config := []string{"io_uring", "libaio", "psync"}[i%3], configs[i/3%len(configs)]
		name := engine + "/" + config
		x := runSample(name, engine, uint64(i+1))
		x.FSConfig = config
		for k, u := range ruleNames {
			v, why := verdict.Pass, ""
			switch {
			case i%11 == 7 && k == 14:
				v, why, x.Verdict = verdict.Fail, "12 words of the page cache differ from the disk at rest, and no fsync of the file reported an error", verdict.Fail
			case config == "data_journal" && k == 19:
				v, why, x.Verdict = verdict.Unsupported, "O_DIRECT is buffered on this file system", verdict.Unsupported
			case k == 15:
				v, why = verdict.NotApplicable, "no write(2) dirtier (--dirty write=N)"
			case i%7 == 3 && k == 12:
				v, why = verdict.Undecided, "no post-write failure was seen"
			}
			r.Rules = append(r.Rules, verdict.Rule{Name: u, Run: name, Verdict: v, Required: k != 5, Checked: 1000, Reason: why})
			if v == verdict.Fail {
				r.Findings = append(r.Findings, verdict.Finding{Rule: u, Verdict: v, Run: name, Count: 12, Text: why})
			}
		}
		r.Runs = append(r.Runs, x)
	}
	if len(r.Findings) > 0 {
		r.Verdict, r.Reason = verdict.Fail, r.Findings[0].Rule+": "+r.Findings[0].Text
	}
	return r
}
