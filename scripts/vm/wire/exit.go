package wire

// The port of QEMU's isa-debug-exit, and what the init writes there. QEMU then
// ends with status (value << 1) | 1.
const (
	ExitPort     = 0xf4
	exitBase     = 0x20 // + status of the last command that was not 0, at most exitMax
	exitMax      = 0x3f // "this or more": the frames have the number
	exitTimeout  = 0x60
	exitInitFail = 0x61
)

// GuestEnd is what the debug-exit port said.
type GuestEnd uint8

// The ends. EndNone: QEMU's status is not one that the init can have caused.
const (
	EndNone GuestEnd = iota
	EndFinished
	EndTimeout
	EndInitFailed
)

// ExitValue returns the byte to write to ExitPort.
func ExitValue(end GuestEnd, status int) byte {
	switch end {
	case EndTimeout:
		return exitTimeout
	case EndInitFailed:
		return exitInitFail
	}
	return byte(exitBase + min(max(status, 0), exitMax))
}

// DecodeExit reads QEMU's exit status. more says that the status is a lower
// bound, because the port has too few bits for it.
func DecodeExit(rc int) (end GuestEnd, status int, more bool) {
	if rc < 0 || rc > 255 || rc&1 == 0 {
		return EndNone, 0, false
	}
	switch v := rc >> 1; {
	case v == exitTimeout:
		return EndTimeout, 0, false
	case v == exitInitFail:
		return EndInitFailed, 0, false
	case v >= exitBase && v <= exitBase+exitMax:
		return EndFinished, v - exitBase, v == exitBase+exitMax
	}
	return EndNone, 0, false
}
