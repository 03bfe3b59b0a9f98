package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/simulator/idp/ldap"
)

const (
	folder   = ".demo"
	profile  = folder + "/temporal.toml" // empty, so that nobody's own Temporal profile is used
	lockFile = "lock"

	people = 2000
	groups = 80

	temporalPort = 7233 // the Web UI listens 1000 above
	uiPort       = temporalPort + 1000
	metricsPort  = 9090
	reviewPort   = 8090 // of reviewers' pages
)

// demo is everything that runs.
type demo struct {
	stack.Stack
	out     *screen
	folder  string // for the files of the story
	shell   string // prefix of the commands that are shown
	control string // address of the simulator's control API, for people
	metrics string // address of the worker's metrics; empty when the port was taken
	policy  *policy.Policy
	first   string // the first run
	hired   string // who was hired in the story
	joined  time.Time
	mail    *stack.Mailbox // receives notices; nil: the simulator does
	page    string         // address of reviewers' pages; empty when the port was taken
	corp    *ldap.Server   // an identity source; nil: the worker is elsewhere and cannot reach one
}

// emptyFolder removes the files of an earlier demo. Until the lock that it returns is closed, no other demo can remove
// those of this one.
func emptyFolder() (lock *os.File, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if lock, err = os.OpenFile(filepath.Join(folder, lockFile), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.New("another demo is running from this folder: end it first (Ctrl-C where it runs)")
	}
	old, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range old {
		if entry.Name() != lockFile {
			if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
				return nil, err
			}
		}
	}
	return lock, os.WriteFile(profile, nil, 0o600)
}

// start starts the Temporal server, the simulated organization and the worker.
func (d *demo) start(ctx context.Context) error {
	dir, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	d.Dir, d.Bin = dir, filepath.Join(dir, "bin")
	if err := os.MkdirAll(d.Bin, 0o700); err != nil {
		return err
	}
	if d.policy, err = readPolicy(); err != nil {
		return err
	}
	d.out.say("Castellan's demo: a Temporal server, a simulated Atlassian organization and a worker, all on this machine.\n")
	if err := d.out.step("building the worker, the ops command and the simulator", func() (string, error) {
		return "", stack.Build(ctx, d.Bin, "worker", "starter", "simulator")
	}); err != nil {
		return err
	}
	if err := d.out.step("starting Temporal and its Web UI", func() (string, error) {
		port := temporalPort
		if !free(temporalPort) || !free(uiPort) {
			port = 0
		}
		d.Temporal, err = stack.StartTemporal(ctx, dir, port, true)
		return d.Temporal.UI, err
	}); err != nil {
		return err
	}
	d.shell = fmt.Sprintf("export TEMPORAL_ADDRESS=%s PATH=\"%s:%s:$PATH\"", d.Temporal.Address, d.Bin,
		filepath.Dir(d.Temporal.CLI))
	if err := d.out.step(fmt.Sprintf("inventing an Atlassian organization: %s people, %d synced groups",
		thousands(people), groups), func() (string, error) {
		d.Simulator, err = stack.StartSimulator(ctx, d.Bin, dir, "--people", strconv.Itoa(people), "--groups",
			strconv.Itoa(groups), "--latency", "20ms", "--lag", "1s")
		if err != nil {
			return "", err
		}
		d.control = d.Simulator.URL
		return d.control, nil
	}); err != nil {
		return err
	}
	return d.out.step("starting a worker", func() (string, error) {
		if err := d.startWorker(); err != nil {
			return "", err
		}
		return d.metrics, stack.Eventually(ctx, time.Minute, d.alive)
	})
}

// startWorker starts a worker that may read the LDAP directory, with what the free ports allow: reviewers' pages, and
// metrics.
func (d *demo) startWorker() error {
	env, err := d.openDirectory()
	if err != nil {
		return err
	}
	d.mail = stack.OpenMailbox()
	env = append(env, d.mail.Env()...)
	if free(reviewPort) {
		address := "127.0.0.1:" + strconv.Itoa(reviewPort)
		d.page = "http://" + address
		env = append(env, "CASTELLAN_REVIEW_ADDR="+address, "CASTELLAN_REVIEW_KEY="+rand.Text()+rand.Text())
	}
	if free(metricsPort) {
		address := "127.0.0.1:" + strconv.Itoa(metricsPort)
		env, d.metrics = append(env, "CASTELLAN_LISTEN="+address), "http://"+address
	}
	return d.StartWorker(env...)
}

func readPolicy() (*policy.Policy, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return policy.Parse(file, text)
}

// alive returns an error if one of the processes has ended.
func (d *demo) alive() error {
	for name, p := range d.processes() {
		select {
		case <-p.Done():
			return fmt.Errorf("the %s has ended:\n%s", name, tail(p.Output(), 2000))
		default:
		}
	}
	return nil
}

// processes returns those that the demo has started.
func (d *demo) processes() map[string]*stack.Process {
	if d.Worker == nil {
		return nil
	}
	return map[string]*stack.Process{"Temporal server": d.Temporal.Process, "simulator": d.Simulator.Process,
		"worker": d.Worker.Process}
}

func (d *demo) stop() {
	d.Stop()
	if d.mail != nil {
		d.mail.Close()
	}
	if d.corp != nil {
		d.corp.Close()
	}
}

func free(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func tail(s string, most int) string {
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
