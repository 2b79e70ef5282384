package mmapdirty

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Release takes every page of the files out of the dirtiers' mappings, which
// stay and fault the pages in again. A page that is mapped cannot be dropped
// from the page cache (mapping_evict_folio in mm/truncate.c counts its
// references), so a caller that means to drop the cache pauses the group and
// releases first. It is an error to call it while dirtiers run.
func (g *Group) Release() error {
	g.control.Lock()
	defer g.control.Unlock()
	if g.state.Load() == running && len(g.dirtiers) > 0 {
		return errors.New("mmapdirty: Release while dirtiers run: Pause first")
	}
	for _, d := range g.dirtiers {
		for i := range d.files {
			if m := d.files[i].mem; m != nil {
				if err := unix.Madvise(m, unix.MADV_DONTNEED); err != nil {
					return fmt.Errorf("mmapdirty: release the mapping of %s: %w", g.cfg.Files[i].Path, err)
				}
			}
		}
	}
	return nil
}
