package main

import (
	"strings"
	"testing"
)

func TestSum(t *testing.T) {
	for name, x := range map[string]struct {
		in   string
		want string
		exit int
	}{
		"pass and skip": {`{"Action":"run","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"A","Output":"=== RUN   A\n"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"    b_test.go:7: need root: not root\n"}
{"Action":"output","Package":"p","Test":"B","Output":"--- SKIP: B (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"B"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`, "ok  \tp\t0.1s\nskipped: p B: need root: not root\n1 passed, 0 failed, 1 skipped\n", 0},
		"fail": {`{"Action":"output","Package":"p","Test":"A","Output":"    a_test.go:7: wrong\n"}
{"Action":"fail","Package":"p","Test":"A"}
{"Action":"fail","Package":"p"}
`, "    a_test.go:7: wrong\n0 passed, 1 failed, 0 skipped\n", 1},
		"build failure": {`{"ImportPath":"p","Action":"build-output","Output":"# p\n"}
{"Action":"fail","Package":"p"}
`, "# p\n0 passed, 1 failed, 0 skipped\n", 1},
		"nothing ran": {``, "0 passed, 0 failed, 0 skipped\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if exit := sum(strings.NewReader(x.in), &out); exit != x.exit || out.String() != x.want {
				t.Errorf("exit %d, want %d; output:\n%swant:\n%s", exit, x.exit, out.String(), x.want)
			}
		})
	}
}
