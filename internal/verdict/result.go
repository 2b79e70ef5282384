package verdict

// SchemaVersion is the version of the "diostress" part of the JSON report. It
// changes when a field changes its meaning or goes away.
const SchemaVersion = 1

// Result is everything a report says about one invocation.
type Result struct {
	SchemaVersion int         `json:"schema_version"`
	Program       string      `json:"program"` // name and version
	Verdict       Verdict     `json:"verdict"`
	Reason        string      `json:"reason"` // one line: why the verdict is what it is
	Stuck         bool        `json:"stuck"`
	Interrupted   bool        `json:"interrupted"`
	Seed          uint64      `json:"seed"`
	Repro         string      `json:"repro"`      // the whole command line that runs it again
	StartTime     string      `json:"start_time"` // RFC 3339 with numeric offset
	ElapsedNS     int64       `json:"elapsed_ns"`
	Environment   Environment `json:"environment"`
	Runs          []Run       `json:"runs"`
	Findings      []Finding   `json:"findings"`
	Rules         []Rule      `json:"rules"`
	Skipped       []Skip      `json:"skipped"`
	NotChecked    []string    `json:"not_checked"` // what the chosen options left unchecked, in words
	Flaky         []Flaky     `json:"flaky"`       // what failed in some loops of --loops; empty with one loop
}

// Flaky is a run that was repeated and failed in 0 < Failed < Total of the
// repetitions.
type Flaky struct {
	Name   string `json:"name"`
	Failed int    `json:"failed"`
	Total  int    `json:"total"`
}

// Environment is what the run stood on.
type Environment struct {
	Kernel        string            `json:"kernel"`       // uname -r
	KernelBuild   string            `json:"kernel_build"` // uname -v
	Machine       string            `json:"machine"`      // uname -m
	Hostname      string            `json:"hostname"`
	CPUs          int               `json:"cpus"`
	MemoryBytes   uint64            `json:"memory_bytes"`
	PageSize      int               `json:"page_size"`
	Config        map[string]string `json:"config"` // kernel config facts that matter here; "unknown" where it cannot be read
	FSType        string            `json:"fs_type"`
	FSConfig      string            `json:"fs_config"`
	FSBlockSize   int               `json:"fs_block_size"`
	MkfsOptions   string            `json:"mkfs_options"`
	MountOptions  string            `json:"mount_options"` // as /proc/self/mountinfo shows them
	Device        string            `json:"device"`
	DeviceStack   []string          `json:"device_stack"` // top down: "ext4 on /dev/loop3", "loop over /dev/shm/x.img", "tmpfs"
	LogicalBlock  int               `json:"logical_block_size"`
	DIOMemAlign   int               `json:"dio_mem_align"`    // statx STATX_DIOALIGN; 0: not known
	DIOOffAlign   int               `json:"dio_offset_align"` // likewise
	Engines       map[string]string `json:"engine_features"`
	Tracing       string            `json:"tracing"` // "perf_event_open", "tracefs", "unavailable: why"
	ContractEra   string            `json:"contract_era"`
	GoVersion     string            `json:"go_version"`
	GOMAXPROCS    int               `json:"gomaxprocs"`
	KmsgBudget    string            `json:"kmsg_budget"` // what is left of the invalidation warning's ten lines a day
	TransparentHP string            `json:"transparent_hugepage"`
}

// Run is one engine and job. runs[i] describes the same as jobs[i]. Rules and
// findings name the run by the name that its jobs share: Name itself, or what
// comes before the last dot and the job's number where there are several.
type Run struct {
	Name        string      `json:"name"` // no two runs of a result share it
	IOEngine    string      `json:"ioengine"`
	Job         int         `json:"job"`
	Scenario    string      `json:"scenario,omitempty"` // of --scenario
	Loop        int         `json:"loop,omitempty"`     // of --loops, from 1; 0 with one loop
	FSConfig    string      `json:"fs_config"`
	Verdict     Verdict     `json:"verdict"`
	Cut         bool        `json:"cut"` // judged from a log that was cut: what only its end tells is 0 and not known
	RuntimeNS   int64       `json:"runtime_ns"`
	Completions Completions `json:"completions"`
	Latency     Latencies   `json:"-"` // rendered as fio's jobs[].write
	IOBytes     uint64      `json:"io_bytes"`
	Submits     uint64      `json:"submit_calls"`
	Reaps       uint64      `json:"reap_calls"`
	UserCPUNS   int64       `json:"user_cpu_ns"` // of the engine thread
	SysCPUNS    int64       `json:"sys_cpu_ns"`
	Collisions  Collisions  `json:"collisions"`
	Fsync       Fsync       `json:"fsync"`
	Retry       Retry       `json:"retry"`
	Data        Data        `json:"data"`
	KernelLog   KernelLog   `json:"kernel_log"`
	Dirtiers    []Dirtier   `json:"dirtiers"`
	Adequacy    Adequacy    `json:"adequacy"`
	Series      []Sample    `json:"series"`  // at most 600, evenly spaced
	Offsets     []uint64    `json:"offsets"` // collisions by position in the file, 64 equal parts; empty: not known
	Profile     string      `json:"profile"` // settings the profile chose, in words
	BlockSize   int         `json:"bs"`      // bytes
	FileSize    int64       `json:"size"`    // bytes
	IODepth     int         `json:"iodepth"`
	RW          string      `json:"rw"`
}

// Completions is the account of one run.
type Completions struct {
	Submitted    uint64            `json:"submitted"`
	Completed    uint64            `json:"completed"`
	Full         uint64            `json:"full"`
	Short        uint64            `json:"short"`
	Zero         uint64            `json:"zero"`
	Overlong     uint64            `json:"overlong"`
	Failed       map[string]uint64 `json:"failed"` // by errno name
	Lost         uint64            `json:"lost"`
	Duplicate    uint64            `json:"duplicate"`
	Stray        uint64            `json:"stray"`
	Early        uint64            `json:"early"`
	LeakedErrno  map[string]uint64 `json:"leaked_errno"` // by name or number
	NonzeroRes2  uint64            `json:"nonzero_res2"`
	BackPressure uint64            `json:"back_pressure"` // Submit calls that took less than offered
}

// Latencies are the three of fio, ns: submission, completion, total.
type Latencies struct {
	Slat, Clat, Lat Latency
	Direct          Latency // total latency of writes attributed direct; N 0: not known
	Collided        Latency // likewise buffered_fallback
}

// Latency summarises one distribution, ns.
type Latency struct {
	Min, Max    int64
	Mean        float64
	Stddev      float64
	N           uint64
	Percentiles []Percentile // ascending
	Bins        []Bin        // ascending; coarse log bins, for drawing
}

// Percentile is one point of a distribution.
type Percentile struct {
	P     float64 // 0..100
	Value int64   // ns
}

// Bin counts values in [From, To), ns.
type Bin struct {
	From, To int64
	N        uint64
}

// Attributed says how the kernel finished the completions.
type Attributed struct {
	Direct           uint64 `json:"direct"`
	BufferedFallback uint64 `json:"buffered_fallback"`
	Unknown          uint64 `json:"unknown"`
}

// Collisions counts the failed invalidations of one run.
type Collisions struct {
	PreWrite   Count      `json:"pre_write"`
	PostWrite  Count      `json:"post_write"`
	PerSecond  float64    `json:"per_second"`
	Fraction   float64    `json:"fraction_of_writes"`
	Attributed Attributed `json:"attributed"`
}

// EIOCauses attributes EIO.
type EIOCauses struct {
	Invalidation uint64 `json:"invalidation"`
	Device       uint64 `json:"device"`
	Journal      uint64 `json:"journal"`
	Ambiguous    uint64 `json:"ambiguous"`
}

// Fsync counts every call that samples errseq.
type Fsync struct {
	Calls      uint64    `json:"calls"`
	EIO        uint64    `json:"eio"`
	Attributed EIOCauses `json:"attributed"`
	Completion EIOCauses `json:"completion_eio"` // EIO in a write's completion, by cause
}

// Retry holds the histograms of --retry: index i counts the collided writes
// that went direct at try i+1 (the last index: that many or more).
type Retry struct {
	Limit        int      `json:"limit"`
	Running      []uint64 `json:"running"` // with the dirtiers running
	Paused       []uint64 `json:"paused"`  // with the dirtiers paused
	GaveUp       uint64   `json:"gave_up"` // still colliding after Limit tries with the dirtiers running
	Permanent    uint64   `json:"permanent"`
	Unattributed uint64   `json:"unattributed"` // tries whose outcome the trace could not tell
}

// Data is what the read-backs said.
type Data struct {
	Checked        bool   `json:"checked"` // false: --verify none, or another job's run holds it, and every figure is 0
	Epochs         uint64 `json:"epochs"`
	WordsChecked   uint64 `json:"words_checked"` // 8 bytes each
	Stale          uint64 `json:"stale"`         // words of the cache that differ from disk after quiesce, excused ones included
	StaleExcused   uint64 `json:"stale_excused"` // of these, in files whose fsync reported EIO
	Torn           uint64 `json:"torn"`
	LostWrite      uint64 `json:"lost_write"`
	LostConcurrent uint64 `json:"lost_concurrent"` // legal: an mmap dirtier held the folio
	Overlap        uint64 `json:"overlap"`         // acts of dirtiers that dirty (mmap, write) inside a write in flight on the same bytes
	Foreign        uint64 `json:"foreign"`
	Poisoned       uint64 `json:"poisoned"`
	ControlWrites  uint64 `json:"control_writes"`
	CacheDropped   uint64 `json:"cache_drops_proved"`
}

// KernelLog is what /dev/kmsg said between our marker lines.
type KernelLog struct {
	Available       bool     `json:"available"`
	Lines           []string `json:"lines"`         // that matter here, at most 100, each text once
	TimesNS         []int64  `json:"times_ns"`      // of each line, ns since the start of the run by the log's clock; empty: not known
	OtherDevices    uint64   `json:"other_devices"` // lines about disks that are not below the run, which are not among Lines
	Dropped         uint64   `json:"dropped"`
	BudgetExhausted bool     `json:"budget_exhausted"`
	TaintBefore     uint64   `json:"taint_before"`
	TaintAfter      uint64   `json:"taint_after"`
}

// Dirtier is the account of one dirtier kind.
type Dirtier struct {
	Kind       string `json:"kind"`
	Count      int    `json:"count"`
	Operations uint64 `json:"operations"`
	Overlaps   uint64 `json:"overlaps"`
	Targets    uint64 `json:"targets"` // of the acts at or beside a write, those that met another write than the one before; 0: not counted
	Faults     uint64 `json:"faults"`
	Errors     uint64 `json:"errors"` // errno returns other than those counted as fsync EIO
}

// Adequacy is the pressure that was required and reached.
type Adequacy struct {
	Required string `json:"required"`
	Reached  string `json:"reached"`
	Met      bool   `json:"met"`
}

// Sample is one interval of the time series.
type Sample struct {
	TimeNS     int64  `json:"time_ns"` // end of the interval, since the start of the run
	Writes     uint64 `json:"writes"`
	Bytes      uint64 `json:"bytes"`
	Collisions uint64 `json:"collisions"`
	FsyncEIO   uint64 `json:"fsync_eio"`
	MaxLatNS   int64  `json:"max_lat_ns"`
}
