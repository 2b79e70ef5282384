package initramfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
)

// libraryDirs is where an x86-64 host keeps the libraries of its own programs.
var libraryDirs = []string{
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib",
}

// Program adds the host's program file as guestPath, with the dynamic loader
// and the libraries it needs, at the paths where the loader looks for them.
func (a *Archive) Program(hostPath, guestPath string) error {
	return a.object(hostPath, guestPath, map[string]bool{})
}

func (a *Archive) object(hostPath, guestPath string, seen map[string]bool) error {
	data, err := os.ReadFile(hostPath)
	if err != nil {
		return fmt.Errorf("program for the guest: %w", err)
	}
	a.File(guestPath, 0o755, data)
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return nil // a script: its interpreter is the caller's affair
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("program for the guest: %s: %w", hostPath, err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil || len(b) == 0 {
			return fmt.Errorf("%s: unreadable interpreter name: %v", hostPath, err)
		}
		loader := string(b[:len(b)-1])
		if !seen[loader] {
			seen[loader] = true
			if err := a.object(loader, loader, seen); err != nil {
				return err
			}
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: %w", hostPath, err)
	}
	for _, lib := range libs {
		if seen[lib] {
			continue
		}
		seen[lib] = true
		found := ""
		for _, d := range libraryDirs {
			if p := filepath.Join(d, lib); found == "" && exists(p) {
				found = p
			}
		}
		if found == "" {
			return fmt.Errorf("%s needs library %s, which is in none of %v", hostPath, lib, libraryDirs)
		}
		if err := a.object(found, filepath.Join(libraryDirs[0], lib), seen); err != nil {
			return err
		}
	}
	return nil
}

func exists(p string) bool { _, err := os.Stat(p); return err == nil }
