// Command simulator serves a simulated Atlassian Cloud, in memory, for tests, demonstrations and benchmarks. When it is
// ready it prints one line of JSON on standard output: its address, the IDs of the organization and its directories,
// and the e-mail address of the admin who owns the key. It stops on SIGTERM and on an interrupt.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "simulator:", err)
			os.Exit(1)
		}
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, env func(string) string, out io.Writer) error {
	o, err := parse(args, env)
	if err != nil {
		return err
	}
	org := cloud.New(o.cloud)
	if err := o.seed(org); err != nil {
		return err
	}
	server := &http.Server{Handler: org.Handler(), ReadHeaderTimeout: 10 * time.Second}
	defer func() { _ = server.Close() }()
	stopped := make(chan error, 2)
	plain, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w; choose another --listen", o.listen, err)
	}
	go func() { stopped <- server.Serve(plain) }()
	var secure string
	if o.tlsListen != "" {
		cert, err := certificate(o.tlsFolder, o.tlsNames)
		if err != nil {
			return fmt.Errorf("--tls-folder: %w", err)
		}
		listener, err := tls.Listen("tcp", o.tlsListen, &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			return fmt.Errorf("listening on %s: %w; choose another --tls-listen", o.tlsListen, err)
		}
		secure = "https://" + listener.Addr().String()
		go func() { stopped <- server.Serve(listener) }()
	}
	ready, err := json.Marshal(struct {
		URL string `json:"url"`
		TLS string `json:"tls,omitempty"`
		cloud.Info
	}{"http://" + plain.Addr().String(), secure, org.Info()})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s\n", ready); err != nil {
		return err
	}
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	// Calls that a fault keeps hanging must not delay the exit.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return server.Close()
	}
	return nil
}

type options struct {
	listen, orgFile      string
	tlsListen, tlsFolder string
	tlsNames             []string
	generate             cloud.Generator
	cloud                cloud.Options
}

func parse(args []string, env func(string) string) (options, error) {
	settings := cloud.DefaultSettings()
	o := options{cloud: cloud.Options{Settings: &settings}}
	flags := flag.NewFlagSet("simulator", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	flags.StringVar(&o.tlsListen, "tls-listen", "", "address to listen on with TLS, besides --listen")
	flags.StringVar(&o.tlsFolder, "tls-folder", ".",
		"folder of the certificate for that ("+certificateFile+") and its key, which are made when they are missing")
	tlsNames := flags.String("tls-names", "localhost", "host names in that certificate, separated by commas")
	flags.StringVar(&o.orgFile, "org", "", "JSON file with the organization's people and groups")
	flags.IntVar(&o.generate.People, "people", 0, "invent an organization with so many people")
	flags.IntVar(&o.generate.Groups, "groups", 20, "source groups of an invented organization")
	flags.IntVar(&o.generate.Memberships, "memberships", 0,
		"memberships in source groups of an invented organization; 0: about five per person")
	flags.Int64Var(&o.cloud.Seed, "seed", 1, "every id and every invention follows from it")
	sites := flags.String("sites", "acme", "site names, separated by commas")
	apps := flags.String("apps", "jira,confluence,jsm", "apps on every site, separated by commas")
	flags.DurationVar((*time.Duration)(&settings.Latency), "latency", 0, "how long each answer takes")
	flags.DurationVar((*time.Duration)(&settings.Lag), "lag", 0,
		"until a write of groups or memberships shows in reads")
	flags.DurationVar((*time.Duration)(&settings.RoleLag), "role-lag", 0,
		"until a role given to a person directly shows in reads")
	flags.DurationVar((*time.Duration)(&settings.EventLag), "event-lag", 0, "until an audit event shows")
	flags.StringVar(&o.cloud.Key, "key", orElse(env("SIM_ORG_KEY"), cloud.DefaultKey),
		"organization API key; also SIM_ORG_KEY")
	flags.StringVar(&o.cloud.SCIMKey, "scim-key", orElse(env("SIM_SCIM_KEY"), cloud.DefaultSCIMKey),
		"key of the SCIM directory; also SIM_SCIM_KEY")
	flags.BoolVar(&settings.Guard, "guard", true, "Atlassian Guard: without it there is no audit log")
	flags.BoolVar(&settings.Limits, "limits", false, "enforce rate limits")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("argument %q is not expected; every option begins with --", flags.Arg(0))
	}
	if (o.orgFile == "") == (o.generate.People == 0) {
		return o, errors.New("say who is in the organization: write either --org FILE or --people N")
	}
	if o.generate.Memberships == 0 {
		o.generate.Memberships = max(5*o.generate.People, o.generate.Groups)
	}
	o.generate.Seed = o.cloud.Seed
	o.cloud.Sites, o.cloud.Apps, o.tlsNames = split(*sites), split(*apps), split(*tlsNames)
	return o, settings.Validate()
}

func (o options) seed(org *cloud.Cloud) error {
	if o.orgFile == "" {
		return org.SeedGenerated(o.generate)
	}
	text, err := os.ReadFile(o.orgFile)
	if err != nil {
		return fmt.Errorf("--org: %w", err)
	}
	var file cloud.OrgFile
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("--org %s: %w", o.orgFile, err)
	}
	if err := org.SeedOrg(file); err != nil {
		return fmt.Errorf("--org %s: %w", o.orgFile, err)
	}
	return nil
}

func split(list string) (out []string) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
