package oracle

import (
	"fmt"

	"diostress/internal/ledger"
)

// sizeUpdated: once a write that extends a file is complete, the size reaches
// to its end at least (i_size is updated before the completion is posted:
// fs/ext4/file.c, ext4_dio_write_end_io).
func (j *Judge) sizeUpdated() {
	const name = "size_updated"
	grows := false
	for i := range j.h.Files {
		grows = grows || j.h.Files[i].Grows()
	}
	n, checked := j.notes.n["i_size"], j.t.Work.SizeChecks
	switch {
	case n > 0:
		j.finding(name, n, fmt.Sprintf("the file was shorter than a completed write made it, %d of %s", n, plural(checked, "time")),
			j.noteWitnesses(func(x *ledger.Note) bool { return x.Class == "i_size" }))
	case !grows:
		j.notApplicable(name, "no file grows (--layout empty)")
	case j.incomplete() != "":
		j.undecided(name, checked, j.incomplete())
	case checked == 0:
		j.undecided(name, 0, "the size of a file was never looked at after a write")
	default:
		j.decide(name, checked, 0, "", "", nil)
	}
}
