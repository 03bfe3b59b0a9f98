package reviewpage_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// patience is how long a test may take for what takes seconds: machines are busy.
const patience = 3 * time.Minute

// chromium is one browser for all tests; each has a profile of its own in it.
var chromium struct {
	once  sync.Once
	ctx   context.Context
	close []context.CancelFunc
	err   error
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, c := range chromium.close {
		c()
	}
	os.Exit(code)
}

// chromiumPath returns where Chromium is: CASTELLAN_CHROMIUM, else as its packages name it.
func chromiumPath(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CASTELLAN_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium found: set CASTELLAN_CHROMIUM")
	return ""
}

// browserTab is a browser's tab showing a test page.
type browserTab struct {
	*testPage
	ctx    context.Context
	server *httptest.Server
	deaf   atomic.Bool // the server drops posts without an answer

	mu       sync.Mutex
	troubles []string // what the browser complained of
	asked    int      // whether to leave the page
}

// newTab opens a tab before a backend with so many items.
func newTab(t *testing.T, items int) *browserTab {
	t.Helper()
	path := chromiumPath(t)
	chromium.once.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
			chromedp.Flag("lang", "en-GB"))
		if os.Getuid() == 0 {
			options = append(options, chromedp.NoSandbox) // Chromium has none for root
		}
		allocator, closeAllocator := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, closeBrowser := chromedp.NewContext(allocator)
		chromium.ctx, chromium.close = ctx, []context.CancelFunc{closeBrowser, closeAllocator}
		chromium.err = chromedp.Do(ctx)
	})
	require.NoError(t, chromium.err, "start %s", path)

	socket, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &browserTab{testPage: newTestPage(t, "http://"+socket.Addr().String(), items)}
	b.server = &httptest.Server{Listener: socket,
		Config: &http.Server{ReadHeaderTimeout: patience,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if b.deaf.Load() && r.Method == http.MethodPost {
					panic(http.ErrAbortHandler)
				}
				b.page.ServeHTTP(w, r)
			})}}
	b.server.Start()
	t.Cleanup(b.server.Close)

	ctx, closeTab := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	require.NoError(t, chromedp.Do(ctx))
	ctx, cancel := context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	b.ctx = ctx
	require.NoError(t, chromedp.Listen(ctx, b.listen))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Empty(t, b.troubles, "the browser complained")
	})
	return b
}

// listen notes what goes wrong in the page, but for answers that tests want to be bad.
func (b *browserTab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.troubles = append(b.troubles, fmt.Sprintf("%+v", e.ExceptionDetails))
	case *log.EventEntryAdded:
		if e.Entry.Source != log.EntrySourceNetwork {
			b.troubles = append(b.troubles, e.Entry.Text)
		}
	case *page.EventJavascriptDialogOpening:
		b.asked++
	}
}

func (b *browserTab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

// eval returns what an expression comes to in the page.
func eval[T any](b *browserTab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	require.NoError(b.t, err, expression)
	return value
}

// until waits for the expression to be true; the page may load anew meanwhile.
func (b *browserTab) until(expression string) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && yes {
			return
		}
		select {
		case <-b.ctx.Done():
			require.Fail(b.t, "it never came to be", "%s (%v)", expression, err)
		case <-tick.C:
		}
	}
}

func css(selector string) chromedp.CSS { return chromedp.CSS(selector) }

// click clicks as a mouse does.
func (b *browserTab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(css(selector), chromedp.NodeVisible))
}

// press presses keys as a keyboard does: a key that the page takes for itself writes no letter.
func (b *browserTab) press(keys string) {
	b.t.Helper()
	for _, key := range keys {
		events := kb.Encode(key)
		down, up := *events[0], *events[len(events)-1]
		if len(events) == 3 {
			down.Type, down.Text, down.UnmodifiedText = input.DispatchKeyEventTypeKeyDown, events[1].Text,
				events[1].UnmodifiedText
		}
		for _, event := range []input.DispatchKeyEventParams{down, up} {
			_, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, event)
			require.NoError(b.t, err)
		}
	}
}

// write types into a field.
func (b *browserTab) write(selector, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(css(selector), text, chromedp.NodeVisible))
}

// enter opens the list by the link.
func (b *browserTab) enter() {
	b.t.Helper()
	b.do(chromedp.Navigate(b.server.URL + "/r/" + b.token()))
	b.until("location.pathname === '/review' && document.readyState === 'complete'")
}

// scripts turns JavaScript on or off, for pages that are opened from then on.
func (b *browserTab) scripts(on bool) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: !on})
	require.NoError(b.t, err)
}

// dark turns the preference for dark pages on or off.
func (b *browserTab) dark(on bool) {
	b.t.Helper()
	value := "light"
	if on {
		value = "dark"
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
	})
	require.NoError(b.t, err)
}

// phone and screen set the size of what one looks at.
func (b *browserTab) phone() {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
}
func (b *browserTab) screen() { b.t.Helper(); b.do(chromedp.EmulateViewport(1280, 900)) }

// picture keeps a picture of the page, if somebody wants to look.
func (b *browserTab) picture(name string, whole bool) {
	b.t.Helper()
	folder := os.Getenv("CASTELLAN_SCREENSHOTS")
	if folder == "" {
		return
	}
	shot := chromedp.CaptureScreenshot()
	if whole {
		shot = chromedp.FullScreenshot(100)
	}
	png, err := chromedp.Run(b.ctx, shot)
	require.NoError(b.t, err)
	require.NoError(b.t, os.MkdirAll(folder, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644))
}
