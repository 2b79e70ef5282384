package main

import (
	"fmt"
	"io"
	"strings"

	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// dryRun prints what a run would do, after every check that makes nothing.
func dryRun(s *settings, stdout, stderr io.Writer) int {
	x := newSession(s, stdout, stderr)
	if err := x.check(); err != nil {
		return x.refuse(err)
	}
	for _, c := range x.matrix() {
		cfg := x.config(c)
		cfg.Engines = x.able(c, &cfg)
		p := plan.New(cfg)
		rows := [][]string{
			{"file system", whereText(&cfg)},
			{"engines", strings.Join(cfg.Engines, ", ")},
			{"profile", firstOf(cfg.Profile, "none, but scenario "+cfg.Scenario)},
			{"direct writes", fmt.Sprintf("%s of %s, iodepth %d, numjobs %d (%s range)", cfg.RW, plan.FormatSize(int64(cfg.BS)), cfg.IODepth, cfg.NumJobs, cfg.Range)},
			{"files and buffers", fmt.Sprintf("layout %s, buffer %s", firstOf(cfg.Layout, plan.LayoutWritten), firstOf(cfg.Buffer, plan.BufferAnon))},
			{"dirtiers", cfg.DirtyString()},
			{"checks", fmt.Sprintf("verify %s, trace %s, retry %d, epoch %v, stuck after %v", cfg.Verify, cfg.Trace, cfg.Retry, cfg.Epoch, cfg.StuckTimeout)},
			{"runtime", fmt.Sprintf("%s s for each engine", plan.FormatTime(cfg.Runtime))},
			{"seed", fmt.Sprintf("%#x", cfg.Seed)},
		}
		for _, f := range p.Files {
			rows = append(rows, []string{"file " + f.Name, fmt.Sprintf("%s, job %d, %s", f.Role, f.Job, plan.FormatSize(f.Size))})
		}
		io.WriteString(stdout, table(rows))
		fmt.Fprintln(stdout, "first writes of job 0:")
		st := p.Stream(0)
		for range 8 {
			w := st.Next()
			fmt.Fprintf(stdout, "  %s offset %d length %d\n", p.Files[w.File].Name, w.Block*int64(cfg.BS), cfg.BS)
		}
	}
	fmt.Fprintf(stdout, "repeat: %s\n", x.res.Repro)
	x.res.Verdict = verdict.Pass
	return exitPass
}

func whereText(c *plan.Config) string {
	switch {
	case c.Directory != "":
		return "as mounted at " + c.Directory
	case c.Device != "":
		return fmt.Sprintf("%s on %s, which is formatted", firstOf(c.FS, c.FSConfig, "ext4"), c.Device)
	}
	text := "private " + firstOf(c.FS, "ext4")
	if c.FSConfig != "" {
		text += ", config " + c.FSConfig
	}
	return text + ", in an image"
}
