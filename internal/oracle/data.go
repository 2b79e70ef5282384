package oracle

import (
	"fmt"

	"diostress/internal/ledger"
	"diostress/internal/pattern"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// data judges the read-backs, word by word.
//
// A block that nothing but direct writes touch has the legal set of the
// account: it is exact. A file that dirtiers worked on is lossy: an old folio
// may have been written back over a direct write, so a word may be anything
// that was there at the last proved read from the disk, or that anybody wrote
// since. Lossy it stays, for what an epoch left is there in the next.
type data struct {
	files    []fileData
	sum      verdict.Data
	drained  bool
	buffered bool // O_DIRECT reads are buffered here

	control, excused, torn, foreign, poison, stale, unreported tally

	diskWords           uint64 // words read in a view that is the disk for certain
	writtenWords        uint64 // of these, those of blocks that a direct write had reached
	exactWords          uint64 // of the words of blocks with one legal value, those held against a direct write
	coherent, neighbour uint64 // blocks whose cache was compared with the disk
	unproved            uint64
	readErrors          uint64
	readError           string
}

// fileData is what is remembered of one file.
type fileData struct {
	plan.File
	lossy  bool
	zeroes bool // dirtiers turn its data into zeros, which stand as words of the prefill
	inside bool // direct and buffered writes share blocks
	steady bool // no dirtier may change its data, so that it can be judged before the epoch ends

	base  map[int64][]blockRun // by offset: what the disk held when the epoch began
	cache map[int64][]blockRun // what the page cache held at its end
	since ranges               // written since the disk was read for certain

	failed       bool // a sample returned an error, and the cache was not dropped since
	epoch        int  // of the last read-back
	read         bool // something was read back in it
	proved, lost bool // drops of the page cache in it: one was proved, one was not

	peek    []blockRun // the block that was read online last, as the page cache showed it
	peekOff int64
	online  tally // stale, and not yet known whether fsync will report it
}

// tally counts words and keeps the first witnesses.
type tally struct {
	n uint64
	w []hit
}

type hit struct {
	file int
	verdict.Witness
}

func (t *tally) add(x *ledger.Readback, off int64, words int32, format string, args ...any) {
	t.n += uint64(words)
	if len(t.w) < maxWitnesses {
		t.w = append(t.w, hit{x.File, verdict.Witness{Offset: off, Length: int64(words) * pattern.WordSize,
			Evidence: fmt.Sprintf("epoch %d, %s: ", x.Epoch, x.View) + fmt.Sprintf(format, args...)}})
	}
}

func (d *data) begin(h *ledger.Header) {
	c := &h.Config
	for _, f := range h.Files {
		d.files = append(d.files, fileData{
			File: f, zeroes: f.Role == plan.Main && c.Zeroes(),
			inside: f.Role == plan.Neighbour && (h.Facts.BlockSize > c.BS || !dirtyByBlock(h.Facts.FSType)),
			steady: c.Exact(&f),
			base:   map[int64][]blockRun{}, cache: map[int64][]blockRun{},
		})
	}
	d.buffered = len(h.Facts.DirectIO) >= 2 && h.Facts.DirectIO[:2] == "no"
	d.drained = true
}

// sync takes note of errors that were reported: one excuses its own file until
// the next drop of the cache.
func (d *data) sync(x *ledger.Sync) {
	if x.File < 0 || x.File >= len(d.files) {
		return
	}
	f := &d.files[x.File]
	f.turn(x.Epoch)
	f.failed = f.failed || x.Errno != 0
}

// turn forgets, with the first record of a new epoch, what the drop at the end
// of the last one has made good.
func (f *fileData) turn(epoch int) {
	if !f.read || epoch <= f.epoch {
		return
	}
	if f.proved && !f.lost {
		f.failed, f.since = false, f.since[:0]
	}
	f.read, f.proved, f.lost = false, false, false
}

// anew forgets all of a file that was laid out anew after its last read-back.
func (f *fileData) anew() {
	if f.read {
		f.lossy, f.failed, f.read, f.proved, f.lost = false, false, false, false, false
		f.since = f.since[:0]
		clear(f.base)
	}
}

func (d *data) epoch(x *ledger.Epoch) {
	d.drained = x.Drained
	d.sum.Epochs++
	for i := range d.files {
		f := &d.files[i]
		f.turn(x.N)
		if i >= len(x.Files) {
			continue
		}
		e := &x.Files[i]
		f.since = f.since.join(e.Writers)
		f.lossy = f.lossy || e.Mmap || e.Write && (f.Role == plan.Main || f.inside)
		d.settleOnline(f, i)
	}
}

func (d *data) readback(x *ledger.Readback) {
	if x.File < 0 || x.File >= len(d.files) {
		return
	}
	f := &d.files[x.File]
	switch x.View {
	case ledger.Online, ledger.OnlineDirect:
	case ledger.Baseline:
		f.anew()
	default:
		f.turn(x.Epoch)
		f.epoch, f.read = x.Epoch, true
	}
	if x.Errno != 0 {
		if d.readErrors++; d.readErrors == 1 {
			d.readError = fmt.Sprintf("%s view of %s at %d: %s", x.View, f.Name, x.Off, ErrnoName(int64(x.Errno)))
		}
		f.lost = f.lost || x.View == ledger.Disk
		return
	}
	direct := x.View == ledger.DirectIO || x.View == ledger.OnlineDirect
	disk := x.View == ledger.Remount || x.View == ledger.Disk && x.Proved || direct && !d.buffered
	d.scan(f, x, disk)
	if disk && x.View != ledger.OnlineDirect {
		d.compare(f, x)
	}
	switch x.View {
	case ledger.Online:
		f.peek, f.peekOff = keepRuns(f.peek, x.Spans), x.Off
	case ledger.OnlineDirect:
		d.online(f, x)
	case ledger.Baseline:
		f.base[x.Off] = keepRuns(f.base[x.Off], x.Spans)
	case ledger.Cache:
		f.cache[x.Off] = keepRuns(f.cache[x.Off], x.Spans)
	case ledger.Disk:
		if !x.Proved {
			d.unproved++
			f.lost = true
			break
		}
		f.proved = true
		f.base[x.Off] = keepRuns(f.base[x.Off], x.Spans)
	}
}

// scan holds the words of one block against what is legal there.
func (d *data) scan(f *fileData, x *ledger.Readback, disk bool) {
	beside := f.Role == plan.Neighbour && len(x.Legal) == 0 // an odd block: buffered writes only
	lossy := f.lossy || beside
	base := cursor{runs: f.base[x.Off]}
	off, exact := x.Off, false
	never := len(base.runs) == 0 // read back before: it holds the prefill, then
	for i := range x.Spans {
		s := &x.Spans[i]
		d.sum.WordsChecked += uint64(s.Words)
		if disk {
			d.diskWords += uint64(s.Words)
		}
		inBase := base.matches(s) || never && s.OK && s.By == (ledger.Stamp{})
		switch {
		case f.zeroes && s.OK && s.By == (ledger.Stamp{}):
		case s.OK && s.By.Writer == uint8(pattern.PoisonID):
			d.poison.add(x, off, s.Words, "the poison put into the buffer after generation %d was reaped: the device read it afterwards", s.By.Gen)
		case !s.OK && !inBase:
			d.foreign.add(x, off, s.Words, "%#016x, %s", s.Raw, whose(s, off))
		case !s.OK:
			// Found before, and reported then.
		case x.View == ledger.Baseline:
			if s.By != (ledger.Stamp{}) {
				d.control.add(x, off, s.Words, "%s where the file was filled and synced", name(s.By))
			}
		case x.View == ledger.Online:
			// Held against the disk by the record that follows.
		case x.View == ledger.OnlineDirect && !f.steady:
			// What was written in this epoch is not known yet.
		case !lossy:
			exact = true
		case !inBase && !f.since.holds(s.By):
			d.foreign.add(x, off, s.Words, "%s, which is neither of this epoch nor what was there before", name(s.By))
		case x.View == ledger.Disk && !beside && f.older(x.Legal, s.By):
			d.sum.LostConcurrent += uint64(s.Words)
		}
		off += int64(s.Words) * pattern.WordSize
	}
	if disk && reached(x.Legal) {
		d.writtenWords += wordsOf(x.Spans)
	}
	if exact {
		d.exact(f, x, disk)
	}
}

// exact judges a block that only direct writes touch, by sectors: one that
// holds another write whole is lost, one that holds parts of two is torn. What
// the page cache alone shows is held against the disk instead, and excused by a
// report; where the disk cannot be read, it has to do, though it proves no write
// right.
func (d *data) exact(f *fileData, x *ledger.Readback, disk bool) {
	cached := x.View == ledger.Cache
	if cached && (f.Role == plan.Neighbour || f.failed || !d.buffered) {
		return
	}
	told := disk && tells(x.Legal)
	const words = pattern.SectorSize / pattern.WordSize
	off, used := x.Off, int32(0) // of the sector at off, words seen
	var bad int32                // and words that are not legal
	var first ledger.Stamp
	for i := range x.Spans {
		s := &x.Spans[i]
		// What is not genuine, and poison, were counted already.
		judged := s.OK && s.By.Writer != uint8(pattern.PoisonID) && !(f.zeroes && s.By == ledger.Stamp{})
		wrong := judged && !f.mayBe(x.Legal, s.By)
		if judged && told {
			d.exactWords += uint64(s.Words)
		}
		for left := s.Words; left > 0; {
			n := min(left, words-used)
			if wrong {
				if bad == 0 {
					first = s.By
				}
				bad += n
			}
			used += n
			left -= n
			if used < words {
				continue
			}
			switch {
			case bad == 0:
			case bad < words && !cached:
				d.torn.add(x, off, bad, "a sector with words of %s; completed last: %s", name(first), last(x.Legal))
			case f.failed && !cached:
				d.excused.add(x, off, bad, "%s; completed last: %s", name(first), last(x.Legal))
			default:
				d.control.add(x, off, bad, "%s; completed last: %s", name(first), last(x.Legal))
			}
			off, used, bad = off+pattern.SectorSize, 0, 0
		}
	}
}

// compare holds what the cache showed against the disk.
func (d *data) compare(f *fileData, x *ledger.Readback) {
	cached := f.cache[x.Off]
	if len(cached) == 0 {
		return
	}
	if d.coherent++; f.Role == plan.Neighbour {
		d.neighbour++
	}
	words := diff(cached, x.Spans)
	if words == 0 {
		return
	}
	f.cache[x.Off] = cached[:0] // said once
	d.sum.Stale += uint64(words)
	const text = "%d words differ from what the page cache showed"
	switch {
	case f.failed, len(x.Legal) > 1:
		// Reported at fsync; or left by a write that itself failed, which is
		// not followed by an invalidation (fs/iomap/direct-io.c,
		// iomap_dio_complete).
		d.sum.StaleExcused += uint64(words)
	case f.Role == plan.Neighbour && !f.inside:
		d.unreported.add(x, x.Off, words, text, words)
	default:
		d.stale.add(x, x.Off, words, text, words)
	}
}
