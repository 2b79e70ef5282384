package testbed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func imagePrefix(pid int) string  { return fmt.Sprintf("diostress-%d-", pid) }
func subdirPrefix(pid int) string { return fmt.Sprintf(".diostress-%d-", pid) }

// Open checks s as Check does and makes what it asks for. When it fails,
// everything made so far is removed; the error names what could not be. Ending
// ctx while Open works makes it fail, and has no effect afterwards.
func Open(ctx context.Context, s Spec) (*Bed, error) {
	p, err := draw(ctx, s)
	if err != nil {
		return nil, err
	}
	e, err := newEntry(stateBase())
	if err != nil {
		return nil, err
	}
	b := newBed(p, e)
	if err := b.make(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bed) make(ctx context.Context) error {
	if err := b.entry.save(); err != nil {
		return err
	}
	if b.plan.Directory != "" {
		return b.makeSubdir()
	}
	b.device = b.plan.Device
	if b.device == "" {
		if err := b.makeImage(ctx); err != nil {
			return err
		}
	}
	if err := b.makeFS(ctx); err != nil {
		return err
	}
	b.entry.Mount = b.entry.mountPoint()
	if err := b.entry.save(); err != nil {
		return err
	}
	if err := os.Mkdir(b.entry.Mount, 0o700); err != nil {
		return err
	}
	b.dir = b.entry.Mount
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := b.mount(); err != nil {
		return b.blame(ctx, err)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	free, err := available(b.dir)
	if err != nil {
		return err
	}
	if free < b.plan.Need {
		return unsupported("the new file system of %d bytes (%s) has %d bytes available, the files need %d: ask for a larger one",
			b.plan.size, b.plan.config, free, b.plan.Need)
	}
	return b.look()
}

func (b *Bed) makeSubdir() error {
	dir, err := filepath.Abs(b.plan.Directory)
	if err != nil {
		return err
	}
	b.entry.Subdir = filepath.Join(dir, subdirPrefix(os.Getpid())+rand.Text()[:8])
	if err := b.entry.save(); err != nil {
		return err
	}
	if err := os.Mkdir(b.entry.Subdir, 0o700); err != nil {
		b.entry.Subdir = ""
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			return unsupported("directory %s is full: %w", b.plan.Directory, err)
		}
		return usage("directory %s cannot be used: %w", b.plan.Directory, err)
	}
	b.dir = b.entry.Subdir
	return b.look()
}

func (b *Bed) makeFS(ctx context.Context) error {
	if b.plan.Device != "" {
		// mke2fs opens the device exclusively too, but looks last here.
		if _, err := checkDevice(b.plan.Spec); err != nil {
			return err
		}
	}
	return b.mke2fs(ctx, b.plan.args)
}

func (b *Bed) mke2fs(ctx context.Context, args []string) error {
	args = append(slices.Clone(args), b.device, fmt.Sprintf("%dk", b.plan.size>>10))
	res, err := runTool(ctx, b.plan.mkfs.path, args)
	if err != nil {
		return err
	}
	if res.exit != 0 {
		return fmt.Errorf("mke2fs %s: exit status %d: %s", strings.Join(args, " "), res.exit, res.output)
	}
	return nil
}
