//go:build !(armbe || arm64be || m68k || mips || mips64 || mips64p32 || ppc || ppc64 || s390 || s390x || sparc || sparc64)

package libaio

const flagsHalf = 1 // aio_rw_flags in iocb.keyFlags
