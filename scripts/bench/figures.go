package main

import (
	"errors"
	"time"
)

// counters are what a file system's load is measured by, from outside. Closed,
// they count no tracepoint events, and cost nothing.
type counters struct {
	dev          uint64
	failed, done *counter
}

func openCounters(dev uint64) (c *counters, err error) {
	c = &counters{dev: dev}
	if c.failed, err = openCounter("iomap/iomap_dio_invalidate_fail", dev); err != nil {
		return nil, err
	}
	if c.done, err = openCounter("iomap/iomap_dio_complete", dev); err != nil {
		c.failed.close()
		return nil, err
	}
	return c, nil
}

func (c *counters) close() {
	c.failed.close()
	c.done.close()
}

// writes counts the direct writes that came to an end one way or the other.
func (c *counters) writes() (uint64, error) {
	failed, err1 := c.failed.read()
	done, err2 := c.done.read()
	return failed + done, errors.Join(err1, err2)
}

// sample is the counters at one moment.
type sample struct {
	at              time.Time
	failed, done    uint64 // pre-write invalidation failures, direct writes that iomap completed
	sectors         uint64
	process, system float64 // CPU seconds
}

func (c *counters) sample(pids []int) (s sample, err error) {
	var errs [5]error
	s.at = time.Now()
	s.failed, errs[0] = c.failed.read()
	s.done, errs[1] = c.done.read()
	s.sectors, errs[2] = sectorsWritten(c.dev)
	s.process, errs[3] = familyCPU(pids)
	s.system, errs[4] = machineBusy()
	return s, errors.Join(errs[:]...)
}

func (s sample) since(o sample) figures {
	return figures{
		seconds: s.at.Sub(o.at).Seconds(),
		failed:  float64(s.failed - o.failed),
		direct:  float64(s.done - o.done),
		blocks:  float64(s.sectors-o.sectors) / 8,
		cpu:     s.process - o.process,
		machine: s.system - o.system,
	}
}

// figures is what happened in a window of time.
type figures struct {
	seconds      float64
	failed       float64 // pre-write invalidation failures
	direct       float64 // direct writes that iomap completed
	blocks       float64 // blocks of 4 KiB that reached the disk
	cpu, machine float64 // seconds: of the load, of the whole machine
}

func (f figures) failures() float64 { return f.failed / f.seconds }
func (f figures) iops() float64     { return f.blocks / f.seconds }
func (f figures) cpuPerOp() float64 { return f.cpu / max(f.blocks, 1) * 1e6 }
func (f figures) sysPerOp() float64 { return f.machine / max(f.blocks, 1) * 1e6 }

// share is the part of the direct writes whose invalidation failed before the
// write: those never come to be completed by iomap.
func (f figures) share() float64 {
	if f.failed+f.direct == 0 {
		return 0
	}
	return f.failed / (f.failed + f.direct)
}
