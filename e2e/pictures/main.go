// Command pictures takes the pictures of the README and the docs: of the demo, with a headless Chromium. It starts a
// demo, or looks at one that runs, and writes PNG files into docs/images. Run it with `make pictures`.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

const (
	org      = "acme"
	emptied  = "eng-platform" // a source group that the demo's story leaves alone
	folder   = "docs/images"
	patience = 10 * time.Minute // for the demo's story, its build included
	soon     = 2 * time.Minute  // for all else
	mostSize = 300 << 10        // bytes of one picture
)

func main() {
	of := flag.String("of", "", "take them of a demo that runs already, whose output is in this `FILE`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *of); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, of string) error {
	if err := os.Chdir(stack.Root()); err != nil {
		return err
	}
	var demo output
	if of == "" {
		end, err := start(&demo)
		if err != nil {
			return err
		}
		defer end()
	} else {
		file, err := os.Open(of)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		go demo.follow(ctx, file)
	}
	browser, closeBrowser, err := openBrowser(ctx)
	if err != nil {
		return err
	}
	defer closeBrowser()
	return take(ctx, browser, &demo)
}

// start runs a demo until end is called.
func start(demo *output) (end func(), err error) {
	cmd := exec.Command("go", "run", "./demo")
	cmd.Stdout, cmd.Stderr = io.MultiWriter(os.Stdout, demo), os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run hands no signal on to what it runs
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		_ = cmd.Wait()
	}, nil
}

// output is what a demo has printed so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) follow(ctx context.Context, file io.Reader) {
	for ctx.Err() == nil {
		if n, err := io.Copy(o, file); err != nil {
			return
		} else if n == 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// until waits for something to be printed, and returns what the expression's groups match.
func (o *output) until(ctx context.Context, within time.Duration, expression string) (groups []string, err error) {
	return groups, stack.Eventually(ctx, within, func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if groups = regexp.MustCompile(expression).FindStringSubmatch(o.text.String()); groups == nil {
			return fmt.Errorf("the demo has not printed %s yet", expression)
		}
		return nil
	})
}

// take makes what is worth looking at happen, and takes the pictures.
func take(ctx context.Context, browser context.Context, demo *output) error {
	ui, err := demo.until(ctx, patience, `(?m)^Open +(http://[^/]+)/`)
	if err != nil {
		return err
	}
	simulator, err := demo.until(ctx, soon, `(http://[^/]+)/_sim/`)
	if err != nil {
		return err
	}
	shell, err := demo.until(ctx, soon, `TEMPORAL_ADDRESS=(\S+) PATH="([^"]*):\$PATH"`)
	if err != nil {
		return err
	}
	if err := os.Setenv("PATH", shell[2]+":"+os.Getenv("PATH")); err != nil {
		return err
	}
	running, err := stack.Visit(ctx, shell[1], simulator[1])
	if err != nil {
		return err
	}
	defer running.Temporal.Client.Close()
	if err := review(ctx, browser, running, demo); err != nil {
		return err
	}
	return hold(ctx, browser, running, ui[1])
}

// review takes the page of a reviewer who is asked.
func review(ctx, browser context.Context, running *stack.Stack, demo *output) error {
	tomorrow := time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)
	if _, err := running.Starter(ctx, "review", "start", "jira-admins", "--date", tomorrow, "--by",
		"lucas.klein@acme.example"); err != nil {
		return err
	}
	mail, err := demo.until(ctx, soon, `mail to wei\.shah@acme\.example: .* (http://\S+/r/\S+)`)
	if err != nil {
		return err
	}
	return picture(browser, mail[1], "Castellan recommends", "review-page.png", 860)
}

// hold empties a source group and takes the Web UI's page of the organization whose guard holds what would follow.
func hold(ctx, browser context.Context, running *stack.Stack, ui string) error {
	idp, err := running.Simulator.SCIM()
	if err != nil {
		return err
	}
	page, err := idp.Groups(ctx, scim.GroupQuery{DisplayName: emptied})
	if err != nil {
		return err
	}
	if len(page.Items) != 1 {
		return fmt.Errorf("the simulated organization has %d groups named %s", len(page.Items), emptied)
	}
	if _, err := idp.ReplaceMembers(ctx, page.Items[0].ID); err != nil {
		return err
	}
	if _, err := running.Until(ctx, org, soon,
		func(s messages.OrgSyncState) bool { return s.Hold != nil && s.Running == nil }); err != nil {
		return err
	}
	is, err := running.Temporal.Client.DescribeWorkflowExecution(ctx, messages.OrgSyncID(org), "")
	if err != nil {
		return err
	}
	address := fmt.Sprintf("%s/namespaces/default/workflows/%s/%s/user-metadata", ui,
		strings.ReplaceAll(messages.OrgSyncID(org), ":", "%3A"), is.WorkflowExecutionInfo.Execution.RunId)
	return picture(browser, address, "Events with Metadata", "web-ui.png", 1200)
}

// openBrowser starts Chromium: CASTELLAN_CHROMIUM, else as its packages name it.
func openBrowser(ctx context.Context) (browser context.Context, stop func(), err error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Flag("lang", "en-GB"))
	if path := os.Getenv("CASTELLAN_CHROMIUM"); path != "" {
		options = append(options, chromedp.ExecPath(path))
	}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has none for root
	}
	allocator, closeAllocator := chromedp.NewExecAllocator(ctx, options...)
	browser, closeBrowser := chromedp.NewContext(allocator)
	return browser, func() { closeBrowser(); closeAllocator() }, chromedp.Do(browser)
}

// picture opens an address, waits until a text stands there, and writes what is seen. The Web UI shows current details
// in a frame of its own, into which the page cannot look: it is given a moment.
func picture(browser context.Context, address, text, name string, height int64) error {
	if err := chromedp.Do(browser, chromedp.EmulateViewport(1280, height), chromedp.Navigate(address)); err != nil {
		return err
	}
	err := stack.Eventually(browser, soon, func() error {
		there, err := chromedp.Run(browser,
			chromedp.Evaluate[bool](fmt.Sprintf("document.body.innerText.includes(%q)", text)))
		if err == nil && !there {
			err = fmt.Errorf("the page does not show %q yet", text)
		}
		return err
	})
	if err != nil {
		return err
	}
	time.Sleep(3 * time.Second)
	png, err := chromedp.Run(browser, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	if len(png) > mostSize {
		return fmt.Errorf("%s has %d KB, and should have %d at most", name, len(png)>>10, mostSize>>10)
	}
	fmt.Printf("%s/%s: %d KB\n", folder, name, len(png)>>10)
	return os.WriteFile(filepath.Join(folder, name), png, 0o644)
}
