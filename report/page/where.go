package page

import (
	"fmt"

	"diostress/internal/verdict"
)

const maxParts = 256

// where draws the collisions by their position in the file.
func where(in *verdict.Run) *plot {
	p := &plot{Frame: half, Title: "Where in the file the collisions fell", XTitle: "offset in the file"}
	parts := in.Offsets
	if len(parts) == 0 {
		p.Missing = "position of the collisions: unavailable (writes were not attributed)"
		return p
	}
	if len(parts) > maxParts {
		parts = parts[:maxParts]
	}
	var most, sum uint64
	for _, n := range parts {
		most, sum = max(most, n), sum+n
	}
	file := uint64(max(0, in.FileSize))
	n := uint64(len(in.Offsets))
	p.Note = fmt.Sprintf("%d equal parts of %s each", n, size(file/n))
	y, yt := linear(float64(most), half.Bottom, half.Top, 4, func(v float64) string {
		if v != float64(uint64(v)) {
			return ""
		}
		return short(v)
	})
	x := scale{min: 0, max: float64(n), from: half.Left, to: half.Right}
	p.YTicks = yt
	for i := range uint64(5) {
		p.XTicks = append(p.XTicks, tick{num(x.at(float64(i*n) / 4)), size(file / 4 * i)})
	}
	if sum == 0 {
		p.Empty = "no collision was attributed to a write"
		p.YTicks = nil
		return p
	}
	for i, c := range parts {
		a, e := x.at(float64(i)), x.at(float64(i+1))
		h := y.at(float64(c))
		if c > 0 {
			h = min(h, half.Bottom-1) // one of many must show
		}
		k := uint64(i)
		p.Bars = append(p.Bars, bar{X: num(a), Y: num(h), W: num(e - a - 0.8), H: num(half.Bottom - h), Class: "collided",
			Tip: fmt.Sprintf("%s – %s: %s collisions (%s)", size(file/n*k), size(file/n*(k+1)), grouped(c), percent(float64(c)/float64(sum)))})
	}
	return p
}
