package uring

import (
	"runtime"
	"testing"
	"time"

	"diostress/internal/need"
	"diostress/ioengine"
	"diostress/ioengine/enginetest"
)

type variant struct {
	name  string
	apply func(*ioengine.Options)
}

func variants() []variant {
	flags := func(names ...string) func(*ioengine.Options) {
		return func(o *ioengine.Options) { o.UringFlags, o.SQPollIdle = names, 2*time.Millisecond }
	}
	return []variant{
		{"plain", func(*ioengine.Options) {}},
		{"sqpoll", flags("sqpoll")},
		{"single_issuer", flags("single_issuer")},
		{"defer_taskrun", flags("defer_taskrun")},
		{"coop_taskrun", flags("coop_taskrun")},
		{"fixed", func(o *ioengine.Options) { o.FixedBufs, o.RegisterFiles = true, true }},
		{"force_async", func(o *ioengine.Options) { o.ForceAsync, o.RegisterFiles = true, true }},
		{"sqpoll_fixed", func(o *ioengine.Options) {
			flags("sqpoll", "single_issuer")(o)
			o.FixedBufs, o.RegisterFiles = true, true
		}},
	}
}

func (v variant) open(o ioengine.Options) (ioengine.Engine, error) {
	v.apply(&o)
	return Open(o)
}

func (v variant) probe() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	o := ioengine.Options{Files: []int{0}, Depth: 1}
	v.apply(&o)
	o.FixedBufs = false
	eng, err := Open(o)
	if err != nil {
		return err
	}
	return eng.Close()
}

func TestConformance(t *testing.T) {
	for _, v := range variants() {
		name := "io_uring/" + v.name
		if v.name == "plain" {
			name = "io_uring"
		}
		t.Run(v.name, func(t *testing.T) { enginetest.Run(t, name, v.open, v.probe) })
	}
}

func BenchmarkWrite4k(b *testing.B) {
	for _, v := range variants() {
		for _, depth := range []struct {
			name string
			n    int
		}{{"depth1", 1}, {"depth32", 32}} {
			b.Run(v.name+"/"+depth.name, func(b *testing.B) { enginetest.Bench(b, need.IOUring, v.open, depth.n, false) })
			b.Run(v.name+"/"+depth.name+"/combined", func(b *testing.B) { enginetest.Bench(b, need.IOUring, v.open, depth.n, true) })
		}
	}
}
