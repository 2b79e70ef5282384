package testbed

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadInput: each in its class, the text is quoted, what is valid is said,
// and nothing is left behind.
func TestBadInput(t *testing.T) {
	machine(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	small := ownTmpfs(t, "tmpfs", "size=8m")
	for _, c := range []struct {
		spec  Spec
		class string
		words []string
	}{
		{Spec{FS: "ext5"}, "usage", []string{`file system "ext5"`, "valid: ext3, ext4", "Did you mean ext"}},
		{Spec{FS: "xfs"}, "usage", []string{`"xfs"`, "ext3, ext4"}},
		{Spec{FS: "EXT4"}, "usage", []string{`"EXT4"`, "Did you mean ext4?"}},
		{Spec{Config: "bigaloc_4k"}, "usage", []string{`configuration "bigaloc_4k"`, "nojournal", "Did you mean bigalloc_4k?"}},
		{Spec{FS: "ext3", Config: "bigalloc_4k"}, "usage", []string{"bigalloc_4k", "ext3", "1k, 4k, data_journal, ext3", "use file system ext4"}},

		{Spec{MkfsOptions: "-b 3000"}, "usage", []string{`"-b 3000"`, "3000 is not a block size", "1024, 2048, 4096"}},
		{Spec{MkfsOptions: "-b 512"}, "usage", []string{"512 is not a block size"}},
		{Spec{MkfsOptions: "-b"}, "usage", []string{"-b needs an argument"}},
		{Spec{MkfsOptions: "-Q"}, "usage", []string{`"-Q"`, "is not an option of mke2fs", "valid: -"}},
		{Spec{MkfsOptions: "--help"}, "usage", []string{`"--help"`}},
		{Spec{MkfsOptions: "/dev/vda"}, "usage", []string{`"/dev/vda" is not an option`, "device and size are chosen here"}},
		{Spec{MkfsOptions: "-t ext2"}, "usage", []string{"-t is chosen by the file system's name"}},
		{Spec{MkfsOptions: "-n"}, "usage", []string{"-n makes no usable file system"}},
		{Spec{MkfsOptions: "-J device=/dev/vda"}, "usage", []string{"-J device=/dev/vda", "another device"}},
		{Spec{MkfsOptions: "-O journal_dev"}, "usage", []string{"-O journal_dev makes no usable"}},
		{Spec{MkfsOptions: "-E offset=4096"}, "usage", []string{"-E offset=4096 makes no usable"}},
		{Spec{MkfsOptions: `-L "x`}, "usage", []string{`"-L \"x"`, `quote " is not closed`}},
		{Spec{MkfsOptions: "-O no_such_feature"}, "usage", []string{`"-O no_such_feature"`, "mke2fs refuses them", "Invalid filesystem option"}},
		{Spec{MkfsOptions: "-E no_such_thing=1"}, "usage", []string{"mke2fs refuses them", "no_such_thing"}},
		{Spec{MkfsOptions: "-J size=4096"}, "usage", []string{`"-J size=4096"`, "mke2fs refuses them"}},

		{Spec{MountOptions: "no_such_option"}, "usage", []string{`mount option "no_such_option"`, "ext4"}},
		{Spec{MountOptions: "data=nonsense"}, "usage", []string{`"data=nonsense"`}},
		{Spec{MountOptions: "ro"}, "usage", []string{`"ro"`, "does not fit a new file system"}},
		{Spec{MountOptions: "-o loop"}, "usage", []string{`"loop"`}},
		{Spec{MountOptions: "noatime nodiratime"}, "usage", []string{`"noatime nodiratime"`, "by commas"}},
		{Spec{MountOptions: `x="y`}, "usage", []string{`quote " is not closed`}},
		{Spec{MountOptions: "noatime\nx"}, "usage", []string{"control character"}},
		{Spec{MountOptions: "dax"}, "unsupported", []string{"dax", "persistent memory"}},

		{Spec{ImageDir: filepath.Join(dir, "none")}, "usage", []string{filepath.Join(dir, "none"), "no such file"}},
		{Spec{ImageDir: file}, "usage", []string{file, "is not a directory"}},
		{Spec{ImageDir: small}, "unsupported", []string{small, "8388608 bytes available"}},
		{Spec{Size: 1 << 20}, "usage", []string{"size 1048576 bytes is too small", "16777216"}},
		{Spec{Size: 16 << 20, Need: 32 << 20}, "usage", []string{"size 16777216", "33554432"}},
		{Spec{Size: -1}, "usage", []string{"-1", "valid: 0 to"}},
		{Spec{Need: -1}, "usage", []string{"-1"}},
		{Spec{Need: 1<<63 - 1}, "usage", []string{"9223372036854775807", "valid: 0 to"}},
		{Spec{Need: 1 << 58}, "unsupported", []string{"no place for the image", "/dev/shm", os.TempDir()}},
	} {
		wants(t, Check(c.spec), c.class, c.words...)
		_, err := Open(t.Context(), c.spec)
		wants(t, err, c.class, c.words...)
	}
	nothingLeft(t, os.Getpid(), small, dir)
}

// TestOptionsThatOnlyTheMountRefuses: Check cannot know, and Open blames the
// right text.
func TestOptionsThatOnlyTheMountRefuses(t *testing.T) {
	machine(t)
	for _, c := range []struct {
		spec  Spec
		class string
		words []string
	}{
		{Spec{Config: "nojournal", MountOptions: "noatime,data=journal"}, "usage", []string{`"noatime,data=journal"`, "mounts without them", "kernel log"}},
		{Spec{FS: "ext3", MountOptions: "nodelalloc"}, "usage", []string{`"nodelalloc"`, "incompatible with ext3"}},
	} {
		must(t, Check(c.spec))
		_, err := Open(t.Context(), c.spec)
		wants(t, err, c.class, c.words...)
		nothingLeft(t, os.Getpid())
	}
	// mke2fs knows more features than a kernel: flip one that none has.
	real, err := findTool("mke2fs")
	must(t, err)
	script(t, "mke2fs", `case "$*" in
*-n*) exec `+real+` "$@" ;;
*/dev/loop*)
	for a; do case $a in /dev/loop*) dev=$a ;; esac; done
	`+real+` "$@" || exit
	case "$*" in *quota*) printf '\200' | dd of=$dev bs=1 seek=1123 conv=notrunc 2>/dev/null ;; esac
	exit 0 ;;
esac
exec `+real+` "$@"`)
	_, err = Open(t.Context(), Spec{MkfsOptions: "-O quota,^metadata_csum"})
	wants(t, err, "unsupported", `"-O quota,^metadata_csum"`, "this kernel does not mount what they make", "kernel log")
	nothingLeft(t, os.Getpid())
}

// TestBlocksLargerThanPages: the machine lacks it, where it does.
func TestBlocksLargerThanPages(t *testing.T) {
	machine(t)
	_, err := os.Stat("/sys/fs/ext4/features/blocksize_gt_pagesize")
	can := err == nil || os.Getpagesize() >= 65536
	if err := Check(Spec{MkfsOptions: "-b 65536"}); can {
		must(t, err)
	} else {
		wants(t, err, "unsupported", "65536 bytes", "pages")
	}
}

// TestMachineThatLacksThings, as a child sees it whose view of the files is
// cut down.
func TestMachineThatLacksThings(t *testing.T) {
	machine(t)
	bin, err := findTool("mke2fs")
	must(t, err)
	onlyMkfs := t.TempDir()
	must(t, exec.Command("cp", bin, onlyMkfs).Run())
	foreign := t.TempDir()
	must(t, os.WriteFile(filepath.Join(foreign, "mke2fs"), []byte("#!/bin/sh\necho something else\n"), 0o755))
	sbin := []string{"/usr/sbin", "/usr/local/sbin"}
	if st, err := os.Lstat("/sbin"); err == nil && st.IsDir() {
		sbin = append(sbin, "/sbin")
	}
	sbin = append(sbin, filepath.Dir(bin))
	for _, c := range []struct {
		name  string
		cover []string
		path  string
		words []string
	}{
		{"no e2fsprogs", sbin, "", []string{"mke2fs is not installed", "apt-get install e2fsprogs"}},
		{"no e2fsck", sbin, onlyMkfs, []string{"e2fsck is not installed", "apt-get install e2fsprogs"}},
		{"another mke2fs", nil, foreign, []string{foreign, "something else", "e2fsprogs"}},
		{"no loop driver", []string{"/dev"}, os.Getenv("PATH"), []string{"/dev/loop-control", "modprobe loop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, act := range []string{"check", "open"} {
				a := once(t, order{Cover: c.cover, Act: act}, setenv("PATH", c.path))
				wantsText(t, a.Err, a.Class, "unsupported", c.words...)
			}
		})
	}
	// sbin is searched where PATH does not reach.
	if a := once(t, order{Act: "check"}, setenv("PATH", "")); a.Err != "" && strings.Contains(bin, "sbin") {
		t.Errorf("without PATH: %s", a.Err)
	}
}
