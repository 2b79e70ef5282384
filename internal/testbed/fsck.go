package testbed

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// FsckResult is what e2fsck found. Without Ran nothing is known about the file
// system, and Why says why.
type FsckResult struct {
	Ran      bool
	ExitCode int // of e2fsck(8); -1: it did not end by itself
	Output   string
	Clean    bool
	// Unreplayed says that the journal holds transactions, as after one that
	// aborted. A check that changes nothing leaves them alone and is wrong
	// either way; the next mount replays them, and then it can be known.
	Unreplayed bool
	Why        string
}

// Fsck checks the unmounted file system without changing it (e2fsck -f -n).
// Errors in the file system are in the result; err is for a check that could
// not be made.
func (b *Bed) Fsck(ctx context.Context) (FsckResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	res := FsckResult{ExitCode: -1}
	not := func(class error, why string) (FsckResult, error) {
		res.Why = why
		return res, class
	}
	switch {
	case b.closed || b.ctx.Err() != nil:
		return not(ErrClosed, ErrClosed.Error())
	case !b.CanRemount():
		return not(nil, "the file system of "+b.plan.Directory+" is not ours to check")
	case b.mounted:
		why := b.device + " is mounted: a file system that is in use looks broken"
		return not(errors.New(why), why)
	}
	tool, err := findTool("e2fsck")
	if err != nil {
		return not(err, err.Error())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.ctx, func() { cancel(ErrClosed) })()
	out, err := runTool(ctx, tool, []string{"-f", "-n", b.device})
	res.Output = out.output
	if err != nil {
		return not(err, err.Error())
	}
	res.ExitCode = out.exit
	// 0: clean; 4: errors left as they are, with 8 if they were too many to go
	// on; 1 and 2 do not occur with -n. The higher bits without 4 mean that
	// e2fsck itself failed.
	if out.exit&^7 != 0 && out.exit&4 == 0 {
		why := fmt.Sprintf("e2fsck %s: exit status %d: %s", b.device, out.exit, out.output)
		return not(errors.New(why), why)
	}
	if strings.Contains(out.output, "skipping journal recovery") {
		res.Unreplayed = true
		return not(nil, "the journal of "+b.device+" is not replayed yet: mount it, unmount it and check again")
	}
	res.Ran, res.Clean = true, out.exit == 0
	if !res.Clean {
		res.Why = fmt.Sprintf("e2fsck found errors in %s (exit status %d)", b.device, out.exit)
	}
	return res, nil
}
