package testbed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryConfig makes, uses and checks each of them, or is told why this
// machine cannot.
func TestEveryConfig(t *testing.T) {
	// What each must show in the features or mount options of the result.
	shows := map[string]struct {
		blockSize int64
		mount     string
		direct    bool
	}{
		"4k": {4096, "", true}, "1k": {1024, "", true}, "ext3": {4096, "", true}, "ext3conv": {4096, "nodelalloc", true},
		"nojournal": {4096, "", true}, "data_journal": {4096, "data=journal", false}, "dioread_nolock": {int64(os.Getpagesize()), "", true},
		"adv": {4096, "", true}, "encrypt": {int64(os.Getpagesize()), "test_dummy_encryption", false}, "bigalloc_4k": {4096, "", true},
		"bigalloc_1k": {1024, "", true}, "fast_commit": {4096, "", true}, "dax": {},
	}
	made := 0
	for _, name := range ConfigNames() {
		t.Run(name, func(t *testing.T) {
			machine(t)
			want, ok := shows[name]
			if !ok {
				t.Fatal("this test does not know what it must show")
			}
			b, err := Open(t.Context(), Spec{Config: name, Need: 8 << 20})
			if name == "dax" {
				wants(t, err, "unsupported", "dax", "persistent memory")
				return
			}
			if errors.Is(err, ErrUnsupported) && (name == "encrypt" || name == "fast_commit" || name == "adv") {
				t.Logf("not on this kernel: %v", err)
				return
			}
			must(t, err)
			defer b.Close()
			made++
			i := b.Info()
			if i.Config != name || i.BlockSize != want.blockSize || !strings.Contains(i.MountOptions, want.mount) || (i.DirectIO == "yes") != want.direct || i.Available < 8<<20 {
				t.Errorf("%+v, want %+v", i, want)
			}
			path := filepath.Join(b.Dir(), "file")
			data := writeDirect(t, path, 16)
			if res := unmounted(t, b); !res.Clean {
				t.Errorf("%+v", res)
			}
			must(t, b.Remount())
			holds(t, path, data)
			must(t, b.Close())
		})
	}
	if made < 8 && !t.Failed() {
		t.Errorf("only %d configurations can be made", made)
	}
}

func TestConfigsOnExt3(t *testing.T) {
	for _, name := range ConfigNames() {
		_, err := resolve(Spec{FS: "ext3", Config: name})
		if slices.Contains(ext3Configs(), name) != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			wants(t, err, "usage", "configuration "+name, "1k, 4k, data_journal, ext3")
		}
	}
	for _, name := range ext3Configs() {
		t.Run(name, func(t *testing.T) {
			machine(t)
			b := open(t, Spec{FS: "ext3", Config: name})
			if i := b.Info(); i.FS != "ext3" || i.Config != name {
				t.Errorf("%+v", i)
			}
			if !unmounted(t, b).Clean {
				t.Error("not clean")
			}
		})
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		spec       Spec
		fs, config string
		mount      []string
		blockSize  int64
		journal    int64 // MiB
	}{
		{Spec{}, "ext4", "4k", nil, 4096, 8},
		{Spec{FS: "ext4"}, "ext4", "4k", nil, 4096, 8},
		{Spec{FS: "ext3"}, "ext3", "ext3", nil, 4096, 8},
		{Spec{Config: "ext3"}, "ext3", "ext3", nil, 4096, 8},
		{Spec{FS: "ext4", Config: "ext3"}, "ext4", "ext3", []string{"nodelalloc"}, 4096, 8},
		{Spec{Config: "1k"}, "ext4", "1k", nil, 1024, 8},
		{Spec{Config: "nojournal"}, "ext4", "nojournal", nil, 4096, 0},
		{Spec{Config: "data_journal"}, "ext4", "data_journal", []string{"data=journal"}, 4096, 32},
		{Spec{Config: "data_journal", MountOptions: "data=ordered"}, "ext4", "data_journal", []string{"data=journal", "data=ordered"}, 4096, 8},
		{Spec{MkfsOptions: "-b 2048 -O ^has_journal"}, "ext4", "4k", nil, 2048, 0},
		{Spec{MkfsOptions: "-b 16384"}, "ext4", "4k", nil, 16384, 32},
		{Spec{MkfsOptions: "-O ^has_journal -O has_journal"}, "ext4", "4k", nil, 4096, 8},
	} {
		r, err := resolve(c.spec)
		if err != nil || r.fs != c.fs || r.config != c.config || !slices.Equal(r.mount.data, c.mount) || r.blockSize != c.blockSize || r.journalSize() != c.journal<<20 {
			t.Errorf("%+v: %+v, journal of %d, %v", c.spec, r, r.journalSize(), err)
		}
	}
}

func TestMkfsArgs(t *testing.T) {
	text := func(s Spec, size int64, withUser, v147 bool) string {
		r, err := resolve(s)
		must(t, err)
		return strings.Join(r.mkfsArgs(size, withUser, v147), " ")
	}
	const lazy = "-E lazy_itable_init=0,lazy_journal_init=0,nodiscard"
	for _, c := range []struct {
		spec     Spec
		size     int64
		withUser bool
		v147     bool
		want     string
	}{
		{Spec{}, 64 << 20, true, true, "-q -F -t ext4 -m 0 " + lazy + " -J size=8 -b 4096"},
		{Spec{}, 16 << 20, true, true, "-q -F -t ext4 -m 0 " + lazy + " -b 4096"},
		{Spec{}, 20 << 30, true, true, "-q -F -t ext4 -m 0 " + lazy + " -J size=8 -b 4096 -N 65536"},
		{Spec{MkfsOptions: "-i 65536"}, 20 << 30, true, true, "-q -F -t ext4 -m 0 " + lazy + " -J size=8 -b 4096 -i 65536"},
		{Spec{MkfsOptions: "-i 65536"}, 20 << 30, false, true, "-q -F -t ext4 -m 0 " + lazy + " -J size=8 -b 4096 -N 65536"},
		{Spec{FS: "ext3"}, 64 << 20, true, false, "-q -F -t ext3 -m 0 " + lazy + " -J size=8 -b 4096 -O " + ext3Features},
		{Spec{FS: "ext3"}, 64 << 20, true, true, "-q -F -t ext3 -m 0 " + lazy + " -J size=8 -b 4096 -O " + ext3Features + ",^orphan_file,^metadata_csum_seed"},
		{Spec{Config: "bigalloc_4k", MkfsOptions: "-O quota -m 5 -E stride=4 -b 1024 -v -q"}, 64 << 20, true, true,
			"-q -F -t ext4 -m 5 " + lazy + ",stride=4 -J size=8 -b 1024 -O bigalloc,quota"},
		{Spec{MkfsOptions: "-J size=4"}, 64 << 20, true, true, "-q -F -t ext4 -m 0 " + lazy + " -J size=4 -b 4096"},
	} {
		if got := text(c.spec, c.size, c.withUser, c.v147); got != c.want {
			t.Errorf("%+v of %d bytes:\n got %s\nwant %s", c.spec, c.size, got, c.want)
		}
	}
}

// TestSize: what is derived from the need suffices, for every configuration.
func TestSize(t *testing.T) {
	for _, name := range ConfigNames() {
		r, err := resolve(Spec{Config: name})
		must(t, err)
		last := int64(0)
		for _, need := range []int64{0, 1, 1 << 20, 64 << 20, 1 << 30, 1 << 40} {
			n := r.size(need)
			if n < need+need/16+r.journalSize()+16<<20 || n%(1<<20) != 0 || n < last || r.journalSize() > n*3/8 {
				t.Errorf("%s: %d bytes for %d of files and a journal of %d", name, n, need, r.journalSize())
			}
			last = n
		}
	}
}

// TestNeedSuffices for real, where the inode tables and block maps count.
func TestNeedSuffices(t *testing.T) {
	for _, s := range []Spec{{FS: "ext3"}, {Config: "1k"}, {Config: "data_journal"}} {
		t.Run(s.FS+s.Config, func(t *testing.T) {
			machine(t)
			s.Need = 100 << 20
			b, err := Open(context.Background(), s)
			must(t, err)
			defer b.Close()
			path := filepath.Join(b.Dir(), "file")
			f, err := os.Create(path)
			must(t, err)
			must(t, writeZeros(t.Context(), f, s.Need))
			must(t, errors.Join(f.Close(), b.Sync(), b.Close()))
		})
	}
}
