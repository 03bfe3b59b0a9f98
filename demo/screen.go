package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/castellan-io/castellan/display"
)

// screen is what people see: steps with their duration, commands with their output.
type screen struct {
	w        io.Writer
	terminal bool
	shown    string // the progress shown last
	acts     int
}

func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	return &screen{w: f, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (s *screen) say(format string, args ...any) { fmt.Fprintf(s.w, format+"\n", args...) }

func (s *screen) chapter(title string) { s.say("\n── %s\n", title) }

// act begins the next act of the story.
func (s *screen) act(title string) {
	s.acts++
	s.chapter(fmt.Sprintf("%d. %s", s.acts, title))
}

// step names a step, runs it, and adds how long it took and its result.
func (s *screen) step(what string, do func() (string, error)) error {
	fmt.Fprintf(s.w, "  %s … ", what)
	started := time.Now()
	result, err := do()
	if err != nil {
		fmt.Fprintln(s.w, "failed")
		return err
	}
	if result != "" {
		result = ": " + result
	}
	fmt.Fprintf(s.w, "%s%s\n", took(time.Since(started)), result)
	return nil
}

// progress shows the progress of a long step: on a terminal in one line, else after every further fifth.
func (s *screen) progress(done, total int, what string) {
	line := fmt.Sprintf("  %d/%d %s", done, total, what)
	if !s.terminal {
		line = fmt.Sprintf("  %3d%% %s", 20*(5*done/max(total, 1)), what)
	}
	if line == s.shown {
		return
	}
	if s.terminal {
		fmt.Fprintf(s.w, "\r%-70s", line)
	} else {
		s.say("%s", line)
	}
	s.shown = line
}

// progressed ends the progress.
func (s *screen) progressed(format string, args ...any) {
	if s.terminal {
		fmt.Fprintf(s.w, "\r%-70s\r", "")
	}
	s.shown = ""
	s.say("  "+format, args...)
}

// command shows a command and its output.
func (s *screen) command(words ...string) {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = display.Quote(w)
	}
	s.say("  $ %s", strings.Join(quoted, " "))
}

func (s *screen) output(text string, most int) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		if i == most && len(lines) > most+1 {
			s.say("    … and %d lines more", len(lines)-most)
			break
		}
		s.say("    %s", line)
	}
	s.say("")
}

func took(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
