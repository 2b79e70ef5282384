package oracle

import "diostress/internal/ledger"

// online holds a block that was read while the run went on, right after a write
// to it was reaped and with no other in flight, past the page cache and through
// it. That a write is lost or torn the scan of the direct read has said; here
// it is about a page cache that shows something else than the disk: stale, once
// the write is complete, unless the next fsync reports it.
func (d *data) online(f *fileData, x *ledger.Readback) {
	if len(f.peek) == 0 || f.peekOff != x.Off || f.lossy || !f.steady {
		return
	}
	words := diff(f.peek, x.Spans)
	f.peek = f.peek[:0]
	if d.buffered {
		return // both were read through the page cache
	}
	if d.coherent++; words > 0 {
		f.online.add(x, x.Off, int32(words), "%d words differ from what a buffered read showed right after the write was complete", words)
	}
}

// settleOnline decides about the stale reads of an epoch, once every open file
// description of the file was sampled.
func (d *data) settleOnline(f *fileData, file int) {
	if f.online.n == 0 {
		return
	}
	d.sum.Stale += f.online.n
	if f.failed {
		d.sum.StaleExcused += f.online.n
	} else {
		d.stale.n += f.online.n
		for _, w := range f.online.w {
			if len(d.stale.w) < maxWitnesses {
				d.stale.w = append(d.stale.w, w)
			}
		}
	}
	f.online = tally{}
}

// staleOpen says why nothing is decided about stale reads of the last epoch: it
// did not come to rest.
func (d *data) staleOpen() string {
	for i := range d.files {
		if n := d.files[i].online.n; n > 0 {
			return plural(n, "word") + " of " + d.files[i].Name + " were stale when the run ended, before fsync could be asked"
		}
	}
	return ""
}
