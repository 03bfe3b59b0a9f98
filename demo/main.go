// Command demo shows Castellan at work on one machine: it starts a Temporal dev server with its Web UI, a simulated
// Atlassian organization of 2,000 people and a worker, lets Castellan take over the organization, plays a short story,
// and then stays up to be tried out. Everything lives in .demo, which is emptied at each start. Run it with `make
// demo`.
//
// With --simulator it starts nothing and plays the same story in a running installation whose organizations are that
// simulator's: `make story` after `make up SIM=1`. The act with an LDAP directory is left out, since that directory is
// in this process, and only a worker of the same machine can read it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/castellan-io/castellan/e2e/stack"
)

func main() {
	exit := flag.Bool("exit", false,
		"end after the story instead of staying up: with status 0 if all went as it should, else 1")
	simulator := flag.String("simulator", "",
		"tell the story in the installation that runs with the simulator at this `URL`, and Temporal at TEMPORAL_ADDRESS, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	if *simulator != "" {
		*exit = true
		err = visit(ctx, *simulator)
	} else {
		err = run(ctx, *exit)
	}
	if ctx.Err() != nil && !*exit {
		fmt.Println("\nstopped; nothing is left running")
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\n\ndemo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, exit bool) error {
	if err := prepare(); err != nil {
		return err
	}
	lock, err := emptyFolder()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	d := &demo{out: newScreen(os.Stdout), folder: folder}
	defer d.stop()
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := d.story(ctx); err != nil {
		return fmt.Errorf("%w\nthe programs' own words are in %s/*.log", err, folder)
	}
	if exit {
		d.out.say("\nEverything went as it should.")
		return nil
	}
	return d.stay(ctx)
}

// prepare changes to the project's folder and unsets variables that are meant for another Temporal or another worker:
// the demo's programs must find only each other.
func prepare() error {
	if err := os.Chdir(stack.Root()); err != nil {
		return err
	}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "TEMPORAL_") || strings.HasPrefix(name, "CASTELLAN_") &&
			name != "CASTELLAN_TEMPORAL_CLI" {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	return os.Setenv("TEMPORAL_CONFIG_FILE", profile)
}
