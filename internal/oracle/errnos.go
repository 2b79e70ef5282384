package oracle

import (
	"slices"
	"strconv"
	"strings"
)

// errnoClass says what a failed completion's errno means for an aligned,
// blocking direct write.
type errnoClass uint8

const (
	illegal     errnoClass = iota // nothing about such a write can cause it
	needsCause                    // legal if the device, the journal or a full disk caused it
	environment                   // legal without more: memory, a signal, limits of the process
)

type errnoRow struct {
	name   string
	class  errnoClass
	source string
}

const (
	eio    = 5
	enospc = 28
	edquot = 122
)

// errnos lists the legal errnos; everything else is illegal. Block statuses are
// those of blk_errors[] in block/blk-core.c, up to 6.18.
var errnos = map[int64]errnoRow{
	4:      {"EINTR", environment, "a fatal signal in a buffered fallback (mm/filemap.c, generic_perform_write)"},
	eio:    {"EIO", needsCause, "BLK_STS_IOERR; file system shut down (fs/ext4/file.c)"},
	12:     {"ENOMEM", environment, "bio, folio or request allocation"},
	19:     {"ENODEV", needsCause, "BLK_STS_OFFLINE"},
	enospc: {"ENOSPC", needsCause, "BLK_STS_NOSPC; no block for a hole"},
	30:     {"EROFS", needsCause, "journal aborted (fs/ext4/ext4_jbd2.c)"},
	52:     {"EBADE", needsCause, "BLK_STS_RESV_CONFLICT"},
	61:     {"ENODATA", needsCause, "BLK_STS_MEDIUM"},
	62:     {"ETIME", needsCause, "BLK_STS_DURATION_LIMIT"},
	67:     {"ENOLINK", needsCause, "BLK_STS_TRANSPORT"},
	74:     {"EBADMSG", needsCause, "EFSBADCRC: metadata of a file system that is corrupt (fs/ext4/ext4.h)"},
	75:     {"EOVERFLOW", needsCause, "BLK_STS_ZONE_ACTIVE_RESOURCE"},
	84:     {"EILSEQ", needsCause, "BLK_STS_PROTECTION"},
	109:    {"ETOOMANYREFS", needsCause, "BLK_STS_ZONE_OPEN_RESOURCE"},
	110:    {"ETIMEDOUT", needsCause, "BLK_STS_TIMEOUT"},
	117:    {"EUCLEAN", needsCause, "EFSCORRUPTED: the file system found itself corrupt (fs/ext4/ext4.h)"},
	121:    {"EREMOTEIO", needsCause, "BLK_STS_TARGET"},
	edquot: {"EDQUOT", needsCause, "quota of the owner"},
}

// namedErrnos are errnos without a legal meaning here that have a name worth
// printing (include/uapi/asm-generic/errno*.h, include/linux/errno.h).
var namedErrnos = map[int64]string{
	1: "EPERM", 9: "EBADF", 11: "EAGAIN", 14: "EFAULT", 15: "ENOTBLK", 16: "EBUSY", 22: "EINVAL", 26: "ETXTBSY", 27: "EFBIG", 29: "ESPIPE", 78: "EREMCHG",
	95: "EOPNOTSUPP", 116: "ESTALE", 125: "ECANCELED",
	512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 515: "ENOIOCTLCMD", 516: "ERESTART_RESTARTBLOCK",
	517: "EPROBE_DEFER", 518: "EOPENSTALE", 519: "ENOPARAM", 521: "EBADHANDLE", 524: "ENOTSUPP", 529: "EIOCBQUEUED", 530: "EIOCBRETRY",
}

// ErrnoName returns the name of an errno, or its number.
func ErrnoName(n int64) string {
	if r, ok := errnos[n]; ok {
		return r.name
	}
	if s, ok := namedErrnos[n]; ok {
		return s
	}
	return strconv.FormatInt(n, 10)
}

// classOf says what an errno means in this run: under the contract, and for its
// files. A write that needs no new block cannot find the disk full.
func (j *Judge) classOf(errno int64) errnoClass {
	allocates := j.h.Config.Fresh() || !inPlace(j.h.Facts.FSType)
	switch {
	case slices.Contains(j.contract.Errnos, errno), allocates && (errno == enospc || errno == edquot):
		return environment
	}
	return errnos[errno].class
}

// inPlace says whether a file system overwrites written blocks where they
// are, whatever the mount options.
func inPlace(fs string) bool { return strings.HasPrefix(fs, "ext") }
