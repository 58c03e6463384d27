package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
)

// Exit codes of [Command].
const (
	exitOK       = 0
	exitProblems = 1
	exitUsage    = 2
)

const commandUsage = `usage:
  config check [--print] [FILE]   report all that is wrong with FILE and the
                                  environment; without FILE, with the file that
                                  DRAKKAR_CONFIG names. --print shows the
                                  outcome, without secrets
  config reference                print all settings, as Markdown
`

// Command runs "config" of the operator's tool; args are those after it. More
// is what check looks at besides, of settings that are sound by themselves.
// It returns the exit code: 0 when all is well, 1 when the configuration has
// problems or cannot be read, and 2 when args are wrong. Reports of problems
// and warnings go to errOut; what was asked for, help included, to out.
func Command(args, environ []string, more func(*Config) error, out, errOut io.Writer) int {
	switch {
	case len(args) > 0 && args[0] == "check":
		return checkCommand(args[1:], environ, more, out, errOut)
	case len(args) == 1 && args[0] == "reference":
		fmt.Fprint(out, Reference())
		return exitOK
	case len(args) > 0 && slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]):
		fmt.Fprint(out, commandUsage)
		return exitOK
	default:
		fmt.Fprint(errOut, commandUsage)
		return exitUsage
	}
}

func checkCommand(args, environ []string, more func(*Config) error, out, errOut io.Writer) int {
	print, file, err := checkArgs(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, commandUsage)
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(errOut, "%v\n%s", err, commandUsage)
		return exitUsage
	}
	cfg, warnings, err := Load(LoadOptions{Path: file, Environ: environ})
	for _, w := range warnings {
		fmt.Fprintf(errOut, "warning: %s\n", w)
	}
	if err == nil {
		err = more(cfg)
	}
	if err != nil {
		fmt.Fprintln(errOut, err)
		return exitProblems
	}
	if print {
		fmt.Fprint(out, cfg)
		return exitOK
	}
	fmt.Fprintln(out, "ok:", cfg.Summary(RoleExecutor, environ))
	return exitOK
}

// checkArgs reads the arguments of check; the flag may stand before and after
// the file.
func checkArgs(args []string) (print bool, file string, err error) {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&print, "print", false, "")
	if err := flags.Parse(args); err != nil {
		return false, "", err
	}
	if flags.NArg() > 0 {
		file = flags.Arg(0)
		if err := flags.Parse(flags.Args()[1:]); err != nil {
			return false, "", err
		}
	}
	if flags.NArg() > 0 {
		return false, "", errors.New("more than one file is named")
	}
	return print, file, nil
}
