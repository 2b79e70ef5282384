//go:build !amd64 && !arm64

package mmapdirty

// spin passes about n times the shortest moment; there is no instruction for
// it here.
func spin(n uint32) {
	for range n * 8 {
	}
}
