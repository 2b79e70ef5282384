package psync_test

import (
	"testing"

	"diostress/internal/need"
	"diostress/ioengine"
	"diostress/ioengine/enginetest"
	"diostress/ioengine/psync"
)

func probe() error {
	eng, err := psync.Open(ioengine.Options{Files: []int{0}, Depth: 1})
	if err != nil {
		return err
	}
	return eng.Close()
}

func TestConformance(t *testing.T) { enginetest.Run(t, need.Psync, psync.Open, probe) }

func TestWaitingForEver(t *testing.T) {
	eng, err := psync.Open(ioengine.Options{Files: []int{0}, Depth: 1})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := eng.Reap(make([]ioengine.Completion, 1), 1, 0); n != 0 || err == nil {
		t.Errorf("reap without a timeout and nothing in flight: %d, %v; want an error", n, err)
	}
	if err := eng.Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkWrite4kDepth1(b *testing.B)  { enginetest.Bench(b, need.Psync, psync.Open, 1, false) }
func BenchmarkWrite4kDepth32(b *testing.B) { enginetest.Bench(b, need.Psync, psync.Open, 32, false) }
