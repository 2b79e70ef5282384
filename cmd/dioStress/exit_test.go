package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"diostress/internal/verdict"
)

func TestExitStatus(t *testing.T) {
	for _, x := range []struct {
		r         verdict.Result
		want, ltp int
	}{
		{verdict.Result{Verdict: verdict.Pass}, 0, 0},
		{verdict.Result{Verdict: verdict.Fail}, 1, 1},
		{verdict.Result{Verdict: verdict.Broken}, 3, 2},
		{verdict.Result{Verdict: verdict.Undecided}, 3, 2},
		{verdict.Result{Verdict: verdict.Unsupported}, 4, 32},
		{verdict.Result{Verdict: verdict.Fail, Stuck: true}, 124, 1},
		{verdict.Result{Verdict: verdict.Pass, Interrupted: true}, 130, 130},
		{verdict.Result{Verdict: verdict.Undecided, Interrupted: true}, 130, 130},
		{verdict.Result{Verdict: verdict.Fail, Interrupted: true}, 1, 1},
		{verdict.Result{}, 3, 2},
	} {
		got := exitStatus(&x.r)
		if got != x.want || styled("ltp", got) != x.ltp || styled("default", got) != x.want {
			t.Errorf("%v stuck=%v interrupted=%v: %d, ltp %d", x.r.Verdict, x.r.Stuck, x.r.Interrupted, got, styled("ltp", got))
		}
	}
}

// TestExitTable holds the documentation against the table.
func TestExitTable(t *testing.T) {
	doc, err := os.ReadFile("../../docs/exit-status.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range exitTable() {
		row := fmt.Sprintf("| %d | %s", e.status, e.about)
		if !strings.Contains(string(doc), row+" |\n") {
			t.Errorf("docs/exit-status.md lacks %q", row)
		}
	}
}
