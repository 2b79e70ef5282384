package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// engines are the asynchronous ones, by the names that both programs use.
var engines = []string{"io_uring", "libaio"}

//go:embed *.fio
var jobFiles embed.FS

// writeJobFiles puts the job files where fio can read them.
func (b *bench) writeJobFiles() error {
	return fs.WalkDir(jobFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := jobFiles.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(b.work, path), text, 0o600)
	})
}

// jobsNamed lists the job files whose names begin so.
func jobsNamed(prefix string) (names []string) {
	all, err := jobFiles.ReadDir(".")
	if err != nil {
		panic(err) // embedded
	}
	for _, e := range all {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// longer is how many seconds loads would run if nobody stopped them: more than
// twenty of them take turns for.
func (b *bench) longer() int {
	return int((time.Duration(20*b.pairs) * (b.window + settle) / time.Second)) + 120
}

// ours is dioStress with these flags.
func (b *bench) ours(at place, engine string, flags ...string) load {
	argv := append([]string{b.binary, "--directory", at.dir, "--ioengine", engine, "--runtime", fmt.Sprint(b.longer()), "--eta", "never", "--seed", "1"}, flags...)
	return load{name: "dioStress " + engine + " " + strings.Join(flags, " ") + at.name, at: at, argv: argv}
}

// fio is a job file with an engine and a depth, where the file takes one.
func (b *bench) fio(at place, job, engine string, depth int) load {
	return load{
		name: fmt.Sprintf("fio %s, %s%s", job, engine, at.name), at: at,
		argv: []string{"fio", "--output=" + filepath.Join(b.work, "fio.out"), job},
		env:  []string{"DIRECTORY=" + at.dir, "ENGINE=" + engine, fmt.Sprintf("DEPTH=%d", depth), fmt.Sprintf("SECONDS=%d", b.longer())},
	}
}
