package main

import (
	"context"
	"fmt"
)

// collide is the rate of pre-write failures against the best of fio's, which
// may be on either place.
func (b *bench) collide(ctx context.Context) error {
	bare := []string{"--verify", "none", "--trace", "count"}
	for _, engine := range engines {
		if !b.wants("collide", b.fs, engine) {
			continue
		}
		loads := []load{
			b.ours(b.plain, engine, append([]string{"--profile", "rate"}, bare...)...),
			b.ours(b.plain, engine, "--profile", "rate"),
		}
		own := len(loads)
		for _, j := range jobsNamed("collide-") {
			loads = append(loads, b.fio(b.plain, j, engine, 0), b.fio(b.stable, j, engine, 0))
		}
		got, err := b.turns(ctx, true, loads...)
		if err != nil {
			return err
		}
		best, name := 0.0, ""
		for i := own; i < len(loads); i++ {
			v := median(pick(got[i], figures.failures))
			if v >= best {
				best, name = v, loads[i].name
			}
			b.t.add(row{what: "pre-write failures/s, " + loads[i].name, where: b.fs + " " + engine, theirs: count(v)})
		}
		for i, what := range []string{"counted only", "with everything verified and attributed"} {
			v := median(pick(got[i], figures.failures))
			b.t.add(row{
				what: "pre-write failures/s, profile rate, " + what + "; the other: " + name, where: b.fs + " " + engine, ours: count(v), theirs: count(best),
				ratio: fmt.Sprintf("%.1f", v/max(best, 1)), goal: "20,000/s and 5 times fio's best", ok: v >= 20000 && v >= 5*best,
			})
		}
	}
	return nil
}

// share is the part of the direct writes that collide.
func (b *bench) share(ctx context.Context) error {
	for _, engine := range engines {
		if !b.wants("share", b.fs, engine) {
			continue
		}
		got, err := b.turns(ctx, true, b.ours(b.plain, engine, "--profile", "share"))
		if err != nil {
			return err
		}
		v := median(pick(got[0], figures.share))
		b.t.add(row{what: "share of the writes collided, profile share", where: b.fs + " " + engine,
			ours: fmt.Sprintf("%.3f", v), goal: "0.9", ok: v >= 0.9})
	}
	return nil
}

// clean is plain throughput.
func (b *bench) clean(ctx context.Context) error {
	if b.fs != "ext4" {
		return nil
	}
	for _, engine := range engines {
		for _, depth := range []int{1, 8, 32, 128} {
			if !b.wants("clean", b.fs, engine, fmt.Sprint("iodepth ", depth)) {
				continue
			}
			loads := []load{b.ours(b.plain, engine, "--profile", "bench", "--iodepth", fmt.Sprint(depth))}
			jobs := jobsNamed("clean")
			for _, j := range jobs {
				loads = append(loads, b.fio(b.plain, j, engine, depth))
			}
			got, err := b.turns(ctx, false, loads...)
			if err != nil {
				return err
			}
			for i, j := range jobs {
				where := fmt.Sprintf("%s %s iodepth %d", b.fs, engine, depth)
				b.compare("clean IOPS, "+j, where, got[0], got[i+1], figures.iops, "%.0f", "at least 1.0 (0.97 with noise)", func(r float64) bool { return r >= 0.97 })
				b.compare("us of CPU for a write, "+j, where, got[0], got[i+1], figures.cpuPerOp, "%.2f", "at most 1.0", func(r float64) bool { return r <= 1.03 })
				b.compare("the same, whole machine, "+j, where, got[0], got[i+1], figures.sysPerOp, "%.2f", "", nil)
			}
		}
	}
	return nil
}

// compare adds a row of two loads that ran in pairs.
func (b *bench) compare(what, where string, a, c []figures, get func(figures) float64, format, goal string, ok func(float64) bool) {
	va, vc := pick(a, get), pick(c, get)
	rs := ratios(va, vc)
	r := median(rs)
	x := row{what: what, where: where, ours: fmt.Sprintf(format, median(va)), theirs: fmt.Sprintf(format, median(vc)),
		ratio: fmt.Sprintf("%.2f%s", r, spread(rs)), goal: goal}
	if ok != nil {
		x.ok = ok(r)
	}
	b.t.add(x)
}
