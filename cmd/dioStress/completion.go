package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"diostress/internal/plan"
)

var shells = [...]string{"bash", "zsh", "fish"}

func runCompletion(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) != 1 {
		return usageError(stderr, "", fmt.Errorf("completion: name one shell; valid: %s", strings.Join(shells[:], ", ")))
	}
	if err := plan.OneOf("completion", args[0], shells[:]); err != nil {
		return usageError(stderr, "", err)
	}
	switch args[0] {
	case "bash":
		io.WriteString(stdout, bashCompletion())
	case "zsh":
		io.WriteString(stdout, zshCompletion())
	case "fish":
		io.WriteString(stdout, fishCompletion())
	}
	return exitPass
}

// isPath says whether an option's value is a path, for the shells to complete.
func isPath(o *option) bool {
	return strings.HasPrefix(o.arg, "FILE") && o.name != "output-format" || o.arg == "DIR" || o.arg == "DEV"
}

func bashCompletion() string {
	var flags, names []string
	var cases strings.Builder
	for _, o := range options() {
		flags = append(flags, "--"+o.name)
		switch {
		case len(o.words) > 0:
			fmt.Fprintf(&cases, "    --%s) _dioStress_list '%s'; return ;;\n", o.name, strings.Join(o.words, " "))
		case isPath(&o):
			fmt.Fprintf(&cases, "    --%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", o.name)
		case o.arg != "":
			fmt.Fprintf(&cases, "    --%s) return ;;\n", o.name)
		}
	}
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return fmt.Sprintf(`# bash completion for dioStress
# words of a list: what is behind the last comma is completed
_dioStress_list() {
  local before=""
  case $cur in *,*) before="${cur%%,*}," ;; esac
  COMPREPLY=($(compgen -P "$before" -W "$1" -- "${cur##*,}"))
}
_dioStress() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  # bash splits --flag=value at the = sign
  if [ "$cur" = "=" ]; then cur=""; elif [ "$prev" = "=" ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
  case $prev in
%s    judge) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    completion) COMPREPLY=($(compgen -W '%s' -- "$cur")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '%s %s' -- "$cur"))
  else
    COMPREPLY=($(compgen -W '%s' -- "$cur"))
  fi
}
complete -F _dioStress dioStress
`, cases.String(), strings.Join(shells[:], " "), strings.Join(names, " "), strings.Join(flags, " "), strings.Join(flags, " "))
}

func zshCompletion() string {
	quote := strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`)
	var b strings.Builder
	b.WriteString("#compdef dioStress\n# zsh completion for dioStress\n_dioStress() {\n  _arguments -S \\\n")
	for _, o := range options() {
		spec := "--" + o.name
		if o.arg != "" {
			spec += "="
		}
		spec += "[" + quote.Replace(o.about) + "]"
		switch {
		case len(o.words) > 0:
			spec += ":" + quote.Replace(o.arg) + ":(" + strings.Join(o.words, " ") + ")"
		case isPath(&o):
			spec += ":" + quote.Replace(o.arg) + ":_files"
		case o.arg != "":
			spec += ":" + quote.Replace(o.arg) + ": "
		}
		fmt.Fprintf(&b, "    '%s' \\\n", spec)
	}
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	fmt.Fprintf(&b, "    '1: :(%s)' \\\n    '*:file:_files'\n}\n_dioStress \"$@\"\n", strings.Join(names, " "))
	return b.String()
}

func fishCompletion() string {
	quote := strings.NewReplacer(`\`, `\\`, "'", `\'`)
	var b strings.Builder
	b.WriteString("# fish completion for dioStress\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "complete -c dioStress -f -n __fish_use_subcommand -a %s -d '%s'\n", c.name, quote.Replace(c.about))
	}
	for _, o := range options() {
		fmt.Fprintf(&b, "complete -c dioStress -l %s -d '%s'", o.name, quote.Replace(o.about))
		switch {
		case len(o.words) > 0:
			fmt.Fprintf(&b, " -x -a '%s'", strings.Join(o.words, " "))
		case isPath(&o):
			b.WriteString(" -r -F")
		case o.arg != "":
			b.WriteString(" -x")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
