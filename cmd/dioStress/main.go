// Command dioStress drives O_DIRECT writes through io_uring or libaio while
// other threads keep the very same pages dirty, accounts for every completion,
// judges the run and prints a report.
//
// It turns arguments into settings, settings into runs, runs into a result,
// and the result into a report and an exit status. It judges nothing itself.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
