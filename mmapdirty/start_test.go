package mmapdirty

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultSets(t *testing.T) {
	for in, want := range map[string]string{
		"none":                          "[]",
		"write=3":                       "[write=3 0s]",
		"mmap=2,read=1,fsync=1,msync=4": "[mmap=2 0s read=1 1ms fsync=1,msync=4 3ms]",
	} {
		spec, err := ParseSpec(in)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, s := range DefaultSets(spec) {
			got = append(got, fmt.Sprint(s.Spec, " ", s.Strategy.Rest))
			if err := s.Strategy.check(); err != nil {
				t.Error(err)
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("DefaultSets(%s) = %v, want %s", in, got, want)
		}
	}
}

func TestNone(t *testing.T) {
	g := start(t, config("none", []File{newFile(t)}, NewTable(1)))
	if s := g.Stats(); len(s) != 0 {
		t.Errorf("statistics %+v of no dirtier", s)
	}
	if err := errors.Join(g.Pause(patient), g.Stop(patient)); err != nil {
		t.Error(err)
	}
}

func TestStartRefuses(t *testing.T) {
	f := newFile(t)
	dir := filepath.Dir(f.Path)
	for _, c := range []struct {
		name string
		want string
		edit func(*Config)
	}{
		{"no files", "Config.Files", func(c *Config) { c.Files = nil }},
		{"no tables", "Config.Tables", func(c *Config) { c.Tables = nil }},
		{"nil table", "Config.Tables[0]", func(c *Config) { c.Tables[0] = nil }},
		{"no size", "Size is 0", func(c *Config) { c.Files[0].Size = 0 }},
		{"no path", "Path or an Open", func(c *Config) { c.Files[0].Path = "" }},
		{"no clock", "Clock", func(c *Config) { c.OnSync = func(SyncResult) {}; c.Clock = nil }},
		{"no word", "Config.Word", func(c *Config) { c.Word = nil }},
		{"no fill", "Config.Fill", func(c *Config) { c.Fill = nil }},
		{"zero strategy", "Strategy.Words 0", func(c *Config) { c.Sets[0].Strategy = Strategy{} }},
		{"order", "order(9)", func(c *Config) { c.Sets[0].Strategy.Order = 9 }},
		{"stay", "Stay 0", func(c *Config) { c.Sets[0].Strategy.Stay = 0 }},
		{"spin", "Spin -1", func(c *Config) { c.Sets[0].Strategy.Spin = -1 }},
		{"yield", "YieldEvery -1", func(c *Config) { c.Sets[0].Strategy.YieldEvery = -1 }},
		{"max sleep", "MaxSleep -1ns", func(c *Config) { c.Sets[0].Strategy.MaxSleep = -1 }},
		{"sleep", "Sleep -1ns", func(c *Config) { c.Sets[0].Strategy.Sleep = -1 }},
		{"CPU", "holds -2", func(c *Config) { c.Sets[0].Strategy.CPUs = []int{-2} }},
		{"absent CPU", "CPU 1023", func(c *Config) { c.Sets[0].Strategy.CPUs = []int{0, 1023} }},
		{"place", "place(7)", func(c *Config) { c.Sets[0].Place = 7 }},
		{"empty files", "Files is empty", func(c *Config) { c.Sets[0].Files = []int{} }},
		{"file index", "holds 1", func(c *Config) { c.Sets[0].Files = []int{1} }},
		{"missing file", "no such file", func(c *Config) { c.Files[0].Path += "x" }},
		{"short file", "write the file in full first", func(c *Config) { c.Files[0].Size++ }},
	} {
		cfg := config("mmap,write", []File{f}, oneInFlight())
		c.edit(&cfg)
		g, err := Start(cfg)
		if err == nil {
			t.Errorf("%s: started", c.name)
			g.Stop(patient)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q lacks %q", c.name, err, c.want)
		}
		if fds, maps := resources(t, dir); fds != 0 || maps != 0 {
			t.Errorf("%s: %d descriptors, %d mappings left", c.name, fds, maps)
		}
	}
}
