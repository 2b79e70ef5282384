//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"diostress/scripts/vm/wire"
)

// run runs one command, does its acts, and records what it left.
func run(c wire.Command, sysrq string, l *link, results *resultDisk, disks layers) wire.Ended {
	l.frame(wire.FrameBegin, c)
	fmt.Printf("guest: begin %s\n", c.Name)
	end := wire.Ended{Name: c.Name, StartSec: uptime()}
	before := outSet()
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = l.w, l.w
	err := cmd.Start()
	if err != nil {
		end.Error, end.Status = err.Error(), 127
	} else {
		stop := make(chan struct{})
		for _, a := range c.Acts {
			go act(a, stop, l, disks)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err = <-done:
			end.Status = status(err)
			if end.Status == 127 {
				end.Error = err.Error()
			}
		case end.Error = <-overdue(c, stop):
			end.Timeout = true
			// A Go program says where its goroutines stand; what the kernel
			// holds does not answer.
			cmd.Process.Signal(syscall.SIGQUIT)
			select {
			case <-done:
			case <-time.After(3 * time.Second):
			}
		}
		close(stop)
	}
	end.Seconds = uptime() - end.StartSec
	if end.Timeout {
		fmt.Printf("guest: timeout %s: %s\n", c.Name, end.Error)
		dump(sysrq)
	}
	for _, p := range c.Report {
		b, err := os.ReadFile(p)
		if err != nil {
			b = fmt.Appendf(nil, "error: %v\n", err)
		}
		results.add(l, c.Name+p, b)
	}
	for k, p := range outSet() {
		if before.has(k) {
			continue
		}
		b, err := os.ReadFile(p.path)
		if err != nil {
			l.note("%s: %v", p.path, err)
			continue
		}
		results.add(l, c.Name+"/"+filepath.Base(p.path), b)
	}
	fmt.Printf("guest: end %s status %d\n", c.Name, end.Status)
	l.frame(wire.FrameEnd, end)
	return end
}

// overdue says when, and why, a command has taken too long.
func overdue(c wire.Command, stop <-chan struct{}) <-chan string {
	why := make(chan string, 1)
	go func() {
		var limit <-chan time.Time
		if c.TimeoutSec > 0 {
			limit = time.After(time.Duration(c.TimeoutSec) * time.Second)
		}
		look := time.NewTicker(time.Second)
		defer look.Stop()
		seen := 0
		for {
			select {
			case <-stop:
				return
			case <-limit:
				why <- fmt.Sprintf("not ended after %d s", c.TimeoutSec)
				return
			case <-look.C:
			}
			if c.DoneFile == "" {
				continue
			}
			if _, err := os.Stat(c.DoneFile); err != nil {
				continue
			}
			if seen++; seen > wire.LingerSec {
				why <- fmt.Sprintf("%s was written, but the process did not end within %d s", c.DoneFile, wire.LingerSec)
				return
			}
		}
	}()
	return why
}

func status(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal())
		}
		return exit.ExitCode()
	}
	return 127
}

// dump has the kernel print where its tasks stand.
func dump(keys string) {
	os.WriteFile("/proc/sys/kernel/printk", []byte("8"), 0o644)
	for _, k := range keys {
		os.WriteFile("/proc/sysrq-trigger", []byte(string(k)), 0o200)
		time.Sleep(200 * time.Millisecond)
	}
}

type outFile struct {
	path string
	info os.FileInfo
}

func (o outFile) key() string {
	return fmt.Sprint(o.path, o.info.Size(), o.info.ModTime().UnixNano())
}

type outFiles map[string]outFile

func (fs outFiles) has(k string) bool { _, ok := fs[k]; return ok }

// outSet is what lay in the out directory, by path, size and time.
func outSet() outFiles {
	fs := outFiles{}
	names, _ := filepath.Glob(filepath.Join(wire.OutDir, "*"))
	for _, p := range names {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			o := outFile{p, info}
			fs[o.key()] = o
		}
	}
	return fs
}

// loadModule loads one kernel module of the initramfs.
func loadModule(m wire.Module) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return fmt.Errorf("module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), m.Params, 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("load module %s %s: %w (the console says why)", m.Path, m.Params, err)
	}
	return nil
}
