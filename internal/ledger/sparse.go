package ledger

// pageBlocks is how many blocks one page of a sparse array covers.
const pageBlocks = 512

// sparse is an array over the blocks of a file that is zero nearly everywhere:
// it holds memory for the pages with anything in them only, so that what is
// kept about the writes in flight does not grow with the file. Pages are used
// again; nothing is allocated once there are enough of them.
type sparse[T any] struct {
	pages []*page[T]
	free  *page[T]
}

type page[T any] struct {
	v    [pageBlocks]T
	used int // elements that are not zero
	next *page[T]
}

func newSparse[T any](blocks int64) sparse[T] {
	return sparse[T]{pages: make([]*page[T], (blocks+pageBlocks-1)/pageBlocks)}
}

// at returns the element of a block, nil if nothing in its page is in use.
func (s *sparse[T]) at(block int64) *T {
	p := s.pages[block/pageBlocks]
	if p == nil {
		return nil
	}
	return &p.v[block%pageBlocks]
}

// use returns the element of a block that is about to become other than zero.
func (s *sparse[T]) use(block int64) *T {
	p := s.pages[block/pageBlocks]
	if p == nil {
		if p = s.free; p != nil {
			s.free, p.next = p.next, nil
		} else {
			p = &page[T]{}
		}
		s.pages[block/pageBlocks] = p
	}
	p.used++
	return &p.v[block%pageBlocks]
}

// done says that the element of a block has become zero again.
func (s *sparse[T]) done(block int64) {
	p := s.pages[block/pageBlocks]
	if p.used--; p.used == 0 {
		p.next, s.free = s.free, p
		s.pages[block/pageBlocks] = nil
	}
}
