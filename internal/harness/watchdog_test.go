package harness

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/plan"
)

func TestWhoHoldsAThreadThatDoesNotComeRound(t *testing.T) {
	const s = time.Second
	type look struct {
		beat int64
		t    threadStat
	}
	for _, c := range []struct {
		name  string
		looks []look
		want  string // of the last look; all before it say nothing
	}{
		{"no processor", []look{{1, threadStat{"R", 0}}, {1, threadStat{"R", 0}}, {1, threadStat{"R", s}}}, ""},
		{"comes round, busy in the kernel", []look{{1, threadStat{"R", 0}}, {2, threadStat{"R", 6 * s}}, {3, threadStat{"R", 12 * s}}}, ""},
		{"endless loop in the kernel", []look{{1, threadStat{"R", s}}, {1, threadStat{"R", 3 * s}}, {1, threadStat{"R", 6 * s}}}, "has run in the kernel for 5s"},
		{"blocked", []look{{1, threadStat{"D", 0}}, {1, threadStat{"D", 0}}, {1, threadStat{"D", 0}}, {1, threadStat{"D", 0}}}, "blocked in the kernel"},
		{"met asleep", []look{{1, threadStat{"D", 0}}, {1, threadStat{"D", 0}}, {1, threadStat{"S", 0}}, {1, threadStat{"D", 0}}, {1, threadStat{"D", 0}}}, ""},
		{"comes round between sleeps", []look{{1, threadStat{"D", 0}}, {1, threadStat{"D", 0}}, {2, threadStat{"D", 0}}, {2, threadStat{"D", 0}}}, ""},
		{"gone", []look{{1, threadStat{}}, {1, threadStat{}}, {1, threadStat{}}, {1, threadStat{}}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &watchdog{r: &run{cfg: &plan.Config{StuckTimeout: 10 * s}}}
			for i, l := range c.looks {
				got := d.kernels(l.beat, l.t)
				if last := i == len(c.looks)-1; !last && got != "" || last && (got == "") != (c.want == "") || last && !strings.Contains(got, c.want) {
					t.Errorf("look %d: %q, want %q", i, got, c.want)
				}
			}
		})
	}
}

func TestReadThread(t *testing.T) {
	if got := readThread(unix.Gettid()); len(got.state) != 1 || got.system < 0 {
		t.Errorf("%+v", got)
	}
	if got := readThread(os.Getpid() + 1<<21); got != (threadStat{}) {
		t.Errorf("no thread: %+v", got)
	}
}
