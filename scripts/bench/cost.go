package main

import (
	"context"
	"path/filepath"
)

// cost is what each part of the harness takes: the same run with and without
// it, in turns.
func (b *bench) cost(ctx context.Context) error {
	if b.fs != "ext4" {
		return nil
	}
	log := func(name string) []string { return []string{"--completions", filepath.Join(b.work, name)} }
	for _, profile := range []string{"rate", "bench"} {
		for _, x := range []struct{ name, engine string }{{"cost", "io_uring"}, {"cost", "libaio"}} {
			if !b.wants(x.name, b.fs, x.engine, profile) {
				continue
			}
			bare := []string{"--profile", profile, "--verify", "none", "--trace", "off"}
			with := func(more ...string) []string { return append(append([]string{}, bare[:2]...), more...) }
			kinds := []struct {
				what  string
				flags []string
			}{
				{"counting the trace", with("--verify", "none", "--trace", "count")},
				{"attributing by trace", with("--verify", "none", "--trace", "exact")},
				{"verifying", with("--verify", "full", "--trace", "off")},
				{"recording every completion", append(with("--verify", "none", "--trace", "off"), log("plain.log")...)},
				{"recording, compressed", append(with("--verify", "none", "--trace", "off"), log("packed.log.zst")...)},
				{"everything", append(with("--verify", "full", "--trace", "exact"), log("all.log.zst")...)},
			}
			for _, k := range kinds {
				at := b.plain
				got, err := b.turns(ctx, profile == "rate", b.ours(at, x.engine, k.flags...), b.ours(at, x.engine, bare...))
				if err != nil {
					return err
				}
				get, unit := figures.iops, "IOPS"
				if profile == "rate" {
					get, unit = figures.failures, "failures/s"
				}
				b.compare("cost of "+k.what+", profile "+profile+": "+unit+" with and without", b.fs+" "+x.engine, got[0], got[1], get, "%.0f", "", nil)
			}
		}
	}
	return nil
}

// scale is what more jobs bring.
func (b *bench) scale(ctx context.Context) error {
	if b.fs != "ext4" {
		return nil
	}
	for _, engine := range engines {
		for _, profile := range []string{"bench", "rate"} {
			for _, shared := range []string{"own", "shared"} {
				if !b.wants("scale", b.fs, engine, profile, shared) {
					continue
				}
				if err := b.scaleOf(ctx, engine, profile, shared); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bench) scaleOf(ctx context.Context, engine, profile, shared string) error {
	var loads []load
	jobs := []string{"1", "2", "4"}
	for _, n := range jobs {
		loads = append(loads, b.ours(b.plain, engine, "--profile", profile, "--numjobs", n, "--job-range", shared, "--verify", "none", "--trace", "off"))
	}
	got, err := b.turns(ctx, profile == "rate", loads...)
	if err != nil {
		return err
	}
	get, unit := figures.iops, "IOPS"
	if profile == "rate" {
		get, unit = figures.failures, "failures/s"
	}
	for i, n := range jobs[1:] {
		b.compare(unit+" with numjobs "+n+" against 1, "+shared+" range, profile "+profile, b.fs+" "+engine, got[i+1], got[0], get, "%.0f", "", nil)
	}
	return nil
}
