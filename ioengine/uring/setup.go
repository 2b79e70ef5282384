package uring

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// rawParams is struct io_uring_params (include/uapi/linux/io_uring.h), which
// giouring.Params mirrors with unexported fields.
type rawParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFd uint32
	resv                                                                   [3]uint32
	sqOff                                                                  sqOffsets
	cqOff                                                                  cqOffsets
}

type sqOffsets struct {
	head, tail, ringMask, ringEntries, flags, dropped, array, resv1 uint32
	userAddr                                                        uint64
}

type cqOffsets struct {
	head, tail, ringMask, ringEntries, overflow, cqes, flags, resv1 uint32
	userAddr                                                        uint64
}

type named struct {
	bit  uint32
	name string
}

// flagTable holds the set-up flags by their names in
// ioengine.UringFlagNames.
func flagTable() []named {
	return []named{
		{giouring.SetupSQPoll, "sqpoll"},
		{giouring.SetupDeferTaskrun, "defer_taskrun"},
		{giouring.SetupSingleIssuer, "single_issuer"},
		{giouring.SetupCoopTaskrun, "coop_taskrun"},
	}
}

func featureTable() []named {
	return []named{
		{giouring.FeatSingleMMap, "single_mmap"},
		{giouring.FeatNoDrop, "nodrop"},
		{giouring.FeatSubmitStable, "submit_stable"},
		{giouring.FeatFastPoll, "fast_poll"},
		{giouring.FeatSQPollNonfixed, "sqpoll_nonfixed"},
		{giouring.FeatExtArg, "ext_arg"},
		{giouring.FeatNativeWorkers, "native_workers"},
		{giouring.FeatRcrcTags, "rsrc_tags"},
		{giouring.FeatCQESkip, "cqe_skip"},
		{giouring.FeatLinkedFile, "linked_file"},
		{giouring.FeatRegRegRing, "reg_reg_ring"},
	}
}

func setupFlags(names []string) (flags uint32, err error) {
	table := flagTable()
	for _, n := range names {
		i := slices.IndexFunc(table, func(f named) bool { return f.name == n })
		if i < 0 {
			return 0, fmt.Errorf("unknown io_uring flag %q: valid are %s", n, strings.Join(ioengine.UringFlagNames(), ", "))
		}
		flags |= table[i].bit
	}
	// Both refused by io_uring_create (io_uring/io_uring.c, since 5.19 and 6.1).
	if flags&giouring.SetupSQPoll != 0 && flags&(giouring.SetupDeferTaskrun|giouring.SetupCoopTaskrun) != 0 {
		return 0, fmt.Errorf("io_uring flags %s: sqpoll goes neither with defer_taskrun nor with coop_taskrun: drop one", strings.Join(names, ","))
	}
	if flags&giouring.SetupDeferTaskrun != 0 {
		flags |= giouring.SetupSingleIssuer
	}
	// Without it a completion that waits as task work shows nowhere in user
	// space, and a reap that only peeks would never see it.
	if flags&(giouring.SetupDeferTaskrun|giouring.SetupCoopTaskrun) != 0 {
		flags |= giouring.SetupTaskrunFlag
	}
	return flags, nil
}

// view is a read-only mapping of the ring's header for the words that giouring
// does not show.
type view struct {
	mem      []byte
	sqFlags  *uint32 // IORING_SQ_*
	overflow *uint32 // completions the kernel dropped, ever
}

func mapView(fd int, p *rawParams) (view, error) {
	// The whole ring, as IORING_FEAT_SINGLE_MMAP (since 5.4) lays it out:
	// kernels differ in whether a part can be mapped.
	const ringOffset, cqeSize, indexSize = 0, 16, 4 // IORING_OFF_SQ_RING, struct io_uring_cqe, one index
	size := max(p.sqOff.array+p.sqEntries*indexSize, p.cqOff.cqes+p.cqEntries*cqeSize)
	mem, err := unix.Mmap(fd, ringOffset, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return view{}, fmt.Errorf("mmap of the ring: %w", err)
	}
	return view{mem: mem, sqFlags: word(mem, p.sqOff.flags), overflow: word(mem, p.cqOff.overflow)}, nil
}

func (v *view) unmap() error {
	if v.mem == nil {
		return nil
	}
	mem := v.mem
	*v = view{}
	return unix.Munmap(mem)
}

func word(mem []byte, off uint32) *uint32 {
	return (*uint32)(unsafe.Pointer(&mem[off]))
}
