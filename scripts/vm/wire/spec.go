// Package wire is what the host and the init of a guest tell each other: the
// work order in the initramfs, the frames on the second serial port, the
// records on the result disk, and the codes of the debug-exit port.
//
// It runs nothing and touches no machine; both sides import it, so a guest and
// a host built from one tree always agree.
package wire

// SpecPath is where the work order lies in the initramfs.
const SpecPath = "/vm/spec.json"

// LingerSec is how long a program may take to end that has written its
// Command's DoneFile.
const LingerSec = 20

// OutDir is the guest directory whose files come back to the host.
const OutDir = "/out"

// DiskDir is the guest directory with a link to every disk, named by its
// serial number.
const DiskDir = "/dev/vm"

// ResultSerial is the serial number of the result disk, which every machine has.
const ResultSerial = "results"

// Spec is the work order of one boot.
type Spec struct {
	Modules  []Module  `json:"modules"`  // loaded in order before the mounts
	Mounts   []Mount   `json:"mounts"`   // in order
	Commands []Command `json:"commands"` // one after another
	Frames   bool      `json:"frames"`   // false: only raw output on the serial port, for one command
	SysRq    string    `json:"sysrq"`    // keys dumped when a command runs into its timeout
	Disks    []Disk    `json:"disks"`    // to wait for
}

// Module is a kernel module of the initramfs.
type Module struct {
	Path   string `json:"path"`
	Params string `json:"params"` // as insmod takes them
}

// Disk is a disk of the machine, known to programs as DiskDir/Serial.
type Disk struct {
	Serial string `json:"serial"`
	Layer  *Layer `json:"layer,omitempty"`
}

// Layer is a device-mapper device between a disk and its users, of which an act
// can make a part fail (dm-flakey).
type Layer struct {
	FailFrom uint64 `json:"fail_from"` // first 512-byte sector of that part, which reaches to the end
}

// Mount is a file system to mount, found by the serial number of its disk.
type Mount struct {
	Serial  string `json:"serial"`
	FSType  string `json:"fs_type"`
	Dir     string `json:"dir"`
	Options string `json:"options"`
}

// Command is one program run in the guest.
type Command struct {
	Name       string   `json:"name"` // unique in a Spec; names frames and records
	Argv       []string `json:"argv"`
	Dir        string   `json:"dir"`
	Env        []string `json:"env"`
	TimeoutSec int      `json:"timeout_sec"` // 0: none
	DoneFile   string   `json:"done_file"`   // a program that wrote this file and still is there LingerSec later has run into its timeout, too
	Acts       []Act    `json:"acts"`        // done while the command runs
	Report     []string `json:"report"`      // guest files whose text is recorded after the command (counters in /sys)
}

// Act is done some time after a command started.
type Act struct {
	OnLog   string `json:"on_log,omitempty"` // wait for a line of the kernel log that holds this, first
	AfterMS int    `json:"after_ms"`
	Path    string `json:"path,omitempty"`    // write Value to this file
	Value   string `json:"value,omitempty"`   //
	ZeroOut string `json:"zeroout,omitempty"` // serial of a disk: zero its last 4 KiB by BLKZEROOUT, the sign QEMU's blkdebug waits for
	Fail    string `json:"fail,omitempty"`    // serial of a disk with FailFrom: writes to that part fail for ForMS
	ForMS   int    `json:"for_ms,omitempty"`
}

// Ended says how one command of a Spec ended.
type Ended struct {
	Name     string  `json:"name"`
	Status   int     `json:"status"`  // exit status; 128+n for a signal
	Timeout  bool    `json:"timeout"` // the command ran into TimeoutSec; Status means nothing then
	Error    string  `json:"error,omitempty"`
	Seconds  float64 `json:"seconds"` // guest clock
	StartSec float64 `json:"start_sec"`
}

// Booted is the first frame: user space is up.
type Booted struct {
	Release   string  `json:"release"` // uname -r
	Version   string  `json:"version"` // uname -v
	UptimeSec float64 `json:"uptime_sec"`
}
