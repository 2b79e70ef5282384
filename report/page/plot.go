package page

import (
	"math"
	"strconv"
	"strings"
)

// plot is a drawing with axes, as SVG. Where Chart is set, the script puts a
// live chart in its place on screen; paper and pages without scripts keep the
// drawing.
type plot struct {
	Frame   *frame
	Title   string
	Missing string // why there is nothing to draw; then the rest is empty
	Chart   int    // 1 + index of the live data; 0: none
	Note    string
	XTitle  string
	Legend  []key
	Curves  []curve
	Bars    []bar
	XTicks  []tick
	YTicks  []tick
	Marks   []bar
	Empty   string // shown inside the axes
}

type key struct{ Class, Label string }

type curve struct{ Class, D string }

// bar is a rectangle with what a reader is told who points at it.
type bar struct{ X, Y, W, H, Class, Tip string }

type tick struct{ At, Label string }

// frame is the size of a drawing and the place of its axes, in the units of
// its view box.
type frame struct {
	Width, Height            float64
	Left, Right, Top, Bottom float64
}

var (
	wide = &frame{Width: 1000, Height: 116, Left: 44, Right: 980, Top: 8, Bottom: 92}
	half = &frame{Width: 480, Height: 178, Left: 44, Right: 462, Top: 8, Bottom: 146}
)

// Middle and Centre are where a text for the whole drawing goes.
func (f *frame) Middle() float64 { return (f.Left + f.Right) / 2 }
func (f *frame) Centre() float64 { return (f.Top + f.Bottom) / 2 }

// Wide is a drawing over the whole width of the page.
func (f *frame) Wide() bool { return f == wide }

// Inside is the height between the axes' ends.
func (f *frame) Inside() float64 { return f.Bottom - f.Top }

// num writes a coordinate.
func num(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

// scale maps values to coordinates.
type scale struct {
	min, max float64
	from, to float64
	log      bool
}

func (s scale) at(v float64) float64 {
	lo, hi := s.min, s.max
	if s.log {
		lo, hi, v = math.Log(lo), math.Log(hi), math.Log(max(v, s.min))
	}
	if hi <= lo {
		return s.from
	}
	return s.from + (s.to-s.from)*min(1, max(0, (v-lo)/(hi-lo)))
}

// step is the distance of about n round ticks over span: 1, 2 or 5 times a
// power of ten.
func step(span float64, n int) float64 {
	if span <= 0 || math.IsInf(span, 0) || math.IsNaN(span) {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(span/float64(n))))
	for _, m := range []float64{1, 2, 5} {
		if span/(m*p) <= float64(n) {
			return m * p
		}
	}
	return 10 * p
}

// linear gives a scale from 0 to at least max, with its ticks.
func linear(max, from, to float64, n int, label func(float64) string) (scale, []tick) {
	if max <= 0 {
		max = 1
	}
	d := step(max, n)
	end := math.Ceil(max/d-1e-9) * d
	s := scale{min: 0, max: end, from: from, to: to}
	var ticks []tick
	for i := 0; float64(i)*d <= end*(1+1e-9); i++ {
		ticks = append(ticks, tick{num(s.at(float64(i) * d)), label(float64(i) * d)})
	}
	return s, ticks
}

// exact gives a scale that ends at max, with the round ticks inside it.
func exact(max, from, to float64, n int, label func(float64) string) (scale, []tick) {
	s := scale{min: 0, max: max, from: from, to: to}
	var ticks []tick
	d := step(max, n)
	for i := 0; float64(i)*d <= max*(1+1e-9); i++ {
		ticks = append(ticks, tick{num(s.at(float64(i) * d)), label(float64(i) * d)})
	}
	return s, ticks
}

// decades gives the ticks of a logarithmic scale: powers of ten, and with room
// their 2 and 5 as well.
func decades(s scale, label func(float64) string) (ticks []tick) {
	inner := []float64{1}
	switch d := math.Log10(s.max / s.min); {
	case d < 2:
		inner = []float64{1, 2, 5}
	case d < 3.5:
		inner = []float64{1, 3}
	}
	for e := math.Floor(math.Log10(s.min)); e <= math.Log10(s.max); e++ {
		for _, m := range inner {
			if v := m * math.Pow(10, e); v >= s.min*(1-1e-9) && v <= s.max*(1+1e-9) {
				ticks = append(ticks, tick{num(s.at(v)), label(v)})
			}
		}
	}
	return ticks
}

// stairs is the path of a step curve: ys[i] holds from xs[i] to xs[i+1].
func stairs(xs, ys []float64, x, y scale) string {
	var b strings.Builder
	for i, v := range ys {
		cmd := "V"
		if i == 0 {
			cmd = "M" + num(x.at(xs[0])) + " "
		}
		b.WriteString(cmd)
		b.WriteString(num(y.at(v)))
		b.WriteString("H")
		b.WriteString(num(x.at(xs[i+1])))
	}
	return b.String()
}
