package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"diostress/internal/plan"
)

// settings is what the command line asks for.
type settings struct {
	cfg          plan.Config
	profile      string
	enginesNamed bool
	fsConfigs    []string
	scenarios    []string
	variants     []plan.Config // one for every scenario; cfg alone without
	loops        int

	output      string
	formats     []string
	completions string
	eta         string
	statusEvery time.Duration
	exitStyle   string
	dryRun      bool
	version     bool
	list        string // a list to print instead of running

	typed []string // the arguments, without the seed
}

// errHelp says that --help was given.
var errHelp = pflag.ErrHelp

func defaults() *settings {
	return &settings{
		cfg: plan.Config{
			Engines: defaultEngines(), NumJobs: 1, Range: "own", RW: "randwrite", Runtime: 10 * time.Second,
			Epoch: 2 * time.Second, StuckTimeout: 30 * time.Second,
		},
		profile: "rate", loops: 1, output: "-", formats: []string{"text"}, eta: "auto", exitStyle: "default",
	}
}

// value is the text of one flag as typed; it takes effect once the profile is
// known.
type value struct {
	opt   *option
	text  string
	given bool
}

func (v *value) String() string { return v.text }
func (v *value) Type() string   { return v.opt.arg }

// Set checks the value against settings that are thrown away, so that pflag
// can put the option's name before the error.
func (v *value) Set(text string) error {
	v.text, v.given = text, true
	return v.opt.set(defaults(), text)
}

// parseArgs reads the command line. Settings come back with every error, as
// far as they were understood: the exit style may be among them.
func parseArgs(args []string) (*settings, error) {
	opts := options()
	values := make([]*value, len(opts))
	flags := pflag.NewFlagSet("dioStress", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	for i := range opts {
		values[i] = &value{opt: &opts[i]}
		f := flags.VarPF(values[i], opts[i].name, "", opts[i].about)
		if opts[i].arg == "" {
			f.NoOptDefVal = "true"
		}
	}
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "randseed" { // fio's name for it
			name = "seed"
		}
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	parseErr := flags.Parse(args)
	s := defaults()
	if v := given(values, "exit-style"); v.given && v.opt.set(s, v.text) != nil {
		s.exitStyle = "default"
	}
	switch {
	case errors.Is(parseErr, pflag.ErrHelp):
		return s, errHelp
	case parseErr != nil:
		return s, explain(parseErr, opts)
	case flags.NArg() > 0:
		return s, unexpected(flags.Arg(0))
	}
	names := []string{""}
	if v := given(values, "scenario"); v.given {
		if err := v.opt.set(s, v.text); err != nil {
			return s, err
		}
		if len(s.scenarios) > 0 {
			names = s.scenarios
		}
	}
	var all []plan.Config
	for _, name := range names {
		one, err := assemble(values, name)
		one.exitStyle = s.exitStyle
		switch {
		case err != nil && len(names) > 1:
			return one, fmt.Errorf("scenario %s: %w", name, err)
		case err != nil:
			return one, err
		case len(all) == 0:
			s = one
		}
		one.cfg.Seed = s.cfg.Seed // one that was drawn is for all
		all = append(all, one.cfg)
	}
	s.variants = all
	return s, nil
}

func given(values []*value, name string) *value {
	return values[slices.IndexFunc(values, func(v *value) bool { return v.opt.name == name })]
}

// assemble makes the settings of one scenario ("" for none): profile, scenario,
// and the flags over both.
func assemble(values []*value, scenario string) (*settings, error) {
	s := defaults()
	if v := given(values, "profile"); v.given {
		if err := v.opt.set(s, v.text); err != nil {
			return s, err
		}
		if scenario != "" {
			return s, fmt.Errorf("--profile %s and --scenario %s exclude each other: both choose the workload; valid: one of them, and flags over it", v.text, scenario)
		}
	}
	if err := s.base(scenario); err != nil {
		return s, err
	}
	if sc, ok := plan.FindScenario(scenario); ok {
		sc.Apply(&s.cfg)
	}
	for _, v := range values {
		if !v.given {
			continue
		}
		if err := v.opt.set(s, v.text); err != nil {
			return s, fmt.Errorf("--%s: %w", v.opt.name, err)
		}
		if v.opt.name != "seed" && v.opt.name != "dry-run" {
			s.typed = append(s.typed, flagText(v))
		}
	}
	return s, s.complete(given(values, "verify").given, given(values, "trace").given)
}

// base applies the profile, which every other flag may override.
func (s *settings) base(scenario string) error {
	name := s.profile
	switch {
	case scenario != "":
		name = "bench" // a scenario chooses everything else by itself
	case name == "auto":
		name = "rate" // where the search begins
	}
	p, ok := plan.FindProfile(name)
	if !ok {
		return fmt.Errorf("--profile %q is not known", name)
	}
	p.Apply(&s.cfg)
	s.cfg.Profile = s.profile
	return nil
}

// leastStuck is the least --stuck-timeout: on a loaded machine a write can be
// out for a second without anything being wrong.
const leastStuck = 2 * time.Second

// complete fills in what follows from the rest, and checks it.
func (s *settings) complete(verifyGiven, traceGiven bool) error {
	c := &s.cfg
	if s.list != "" || s.version {
		return nil
	}
	clean := len(c.Dirty) == 0
	if !verifyGiven {
		c.Verify = "full"
		if clean {
			c.Verify = "none"
		}
	}
	if !traceGiven {
		c.Trace = "exact"
		if clean {
			c.Trace = "count"
		}
	}
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	switch {
	case s.loops < 1 || s.loops > 100000:
		return fmt.Errorf("--loops %d is out of range; valid: 1 to 100000", s.loops)
	case c.StuckTimeout < leastStuck:
		return fmt.Errorf("--stuck-timeout %s is too short to tell a stuck write from a busy machine; valid: 2s and more", c.StuckTimeout)
	case c.DestroyData && c.Device == "":
		return errors.New("--destroy-data has no place without --device")
	case s.statusEvery < 0:
		return fmt.Errorf("--status-interval %s is not valid", plan.FormatTime(s.statusEvery))
	case len(s.fsConfigs) > 0 && c.Directory != "":
		return errors.New("--directory works on the file system that is mounted there: --fs-config has no place beside it")
	case len(s.formats) > 1 && s.output == "-":
		return fmt.Errorf("--output-format %s: several formats need --output FILE, which gives FILE.%s and so on", strings.Join(s.formats, ","), s.formats[0])
	}
	if len(s.fsConfigs) == 1 {
		c.FSConfig = s.fsConfigs[0]
	}
	return c.Validate()
}

// explain turns pflag's errors into ones that say what is valid.
func explain(err error, opts []option) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		var names []string
		for _, o := range opts {
			names = append(names, o.name)
		}
		hint := ""
		if n := plan.Nearest(name, names); n != "" {
			hint = fmt.Sprintf(" (did you mean --%s?)", n)
		}
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		return fmt.Errorf("unknown flag %s%s%s; 'dioStress --help' lists the flags", dashes, name, hint)
	}
	var missing *pflag.ValueRequiredError
	if errors.As(err, &missing) {
		return fmt.Errorf("--%s needs a value", missing.GetSpecifiedName())
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return fmt.Errorf("--%s: %w", invalid.GetFlag().Name, invalid.Unwrap())
	}
	return err
}

func unexpected(word string) error {
	hint := ""
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	if n := plan.Nearest(word, names); n != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", n)
	}
	return fmt.Errorf("unexpected argument %q%s; valid: flags, or a command first: %s", word, hint, strings.Join(names, ", "))
}

func flagText(v *value) string {
	if v.opt.arg == "" && v.text == "true" {
		return "--" + v.opt.name
	}
	return shellWord("--" + v.opt.name + "=" + v.text)
}

// shellWord quotes a word for a shell, if it must be.
func shellWord(w string) string {
	if strings.IndexFunc(w, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=./,:+%@", r))
	}) < 0 {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// repro is the command line that runs the same again.
func (s *settings) repro() string {
	words := append([]string{"dioStress"}, s.typed...)
	return strings.Join(append(words, fmt.Sprintf("--seed=%#x", s.cfg.Seed)), " ")
}
