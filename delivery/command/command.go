// Package command runs the programs that aliases(5), .forward and
// mailbox_command name, as local(8) does, and says what their exit means.
package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"mailserver/internal/asuser"
)

// Program is one run.
type Program struct {
	Line string // as aliases(5) has it, without the bar
	// Args is a command that is never given to a shell, in place of Line.
	Args  []string
	Dir   string // '' is /
	ID    asuser.ID
	Env   []string
	Stdin io.Reader
	// Limit is the longest time that it may take; then all of its session is
	// killed. postconf(5) command_time_limit
	Limit time.Duration
}

// Outcome is what became of a run. The class of Enhanced says it: 2 done, 4
// try again, 5 never.
type Outcome struct {
	Enhanced string
	Text     string // for the log and the bounce
	Output   string // the beginning of what a program said that did its work
}

// path is where programs are looked for, as _PATH_DEFPATH.
const path = "/usr/bin:/bin"

// Grace is what a program gets to finish when the server stops.
const Grace = 5 * time.Second

// lingering is how long the output of a program is waited for that has ended
// and left children behind.
const lingering = 5 * time.Second

// Run runs p and waits for it. When ctx ends, p has Grace left, and what it has
// not finished then is to be tried again.
func Run(ctx context.Context, p *Program) Outcome {
	line := p.Line
	name, args := argv(line)
	if len(p.Args) > 0 {
		line = p.Args[0]
		name, args = p.Args[0], p.Args[1:]
		if file := find(name); file != "" {
			name = file
		}
	}
	if name == "" {
		return Outcome{Enhanced: "5.3.5", Text: "mail system configuration error: empty command"}
	}
	if _, err := os.Stat(name); err != nil { // it may be put there yet
		return Outcome{Enhanced: "4.3.0", Text: fmt.Sprintf("temporary failure. Command output: cannot run %s: %v", name, err)}
	}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = cmp.Or(p.Dir, "/"), append([]string{"PATH=" + path}, p.Env...), lingering
	in := &reading{r: p.Stdin}
	out := &head{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	if err := p.ID.Start(cmd); err != nil {
		return notStarted(err)
	}
	cut := make(chan string, 1)
	stop := limit(ctx, cmd, p.Limit, cut)
	err := cmd.Wait()
	stop()
	select {
	case why := <-cut:
		return wasCut(why, line, out.text())
	default:
	}
	if in.err != nil {
		return Outcome{Enhanced: "4.3.0", Text: "Command failed: the message could not be read"}
	}
	return judge(cmd, err, line, out.text())
}

// Why a program was killed.
const (
	byTime = "time"
	byEnd  = "end"
)

// limit kills the session of cmd when its time is over.
func limit(ctx context.Context, cmd *exec.Cmd, most time.Duration, cut chan<- string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	kill := func(why string) func() {
		return func() {
			select {
			case cut <- why:
			default:
			}
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			cmd.Process.Kill()
		}
	}
	timer := time.AfterFunc(most, kill(byTime))
	ended := make(chan struct{})
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		<-ctx.Done()
		select {
		case <-ended:
		case <-time.After(Grace):
			kill(byEnd)()
		}
	}()
	return func() {
		timer.Stop()
		close(ended)
		cancel()
		<-done
	}
}

func wasCut(why, line, output string) Outcome {
	if why == byEnd {
		return Outcome{Enhanced: "4.3.0", Text: "Command cut off by the end of the server: " + quote(line)}
	}
	return Outcome{Enhanced: "5.3.0", Text: "Command time limit exceeded: " + quote(line) + appended(output)}
}

// notStarted: a lack of rights or resources can be mended; what the shell could
// not run either does not come here.
func notStarted(err error) Outcome {
	if errors.Is(err, asuser.ErrRights) {
		return Outcome{Enhanced: "4.3.5", Text: "command not run: " + err.Error()}
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) { // its directory
		return Outcome{Enhanced: "4.3.0", Text: "temporary failure"}
	}
	return Outcome{Enhanced: "4.3.0", Text: "unable to run the command: " + err.Error()}
}

// plain are the characters of a command that needs no shell.
const plain = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \t"

// argv splits a command without a shell, unless it has characters that mean
// something to one, or begins with a word of the shell.
func argv(line string) (name string, args []string) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return "", nil
	}
	if strings.Trim(line, plain) == "" {
		if file := find(fields[0]); file != "" {
			return file, fields[1:]
		}
	}
	return "/bin/sh", []string{"-c", line}
}

// find returns the file of a program; ” leaves it to the shell.
func find(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	if strings.Contains(name, "/") {
		return ""
	}
	for dir := range strings.SplitSeq(path, ":") {
		if file, err := exec.LookPath(dir + "/" + name); err == nil {
			return file
		}
	}
	return ""
}

// judge says what an exit means: text of the program that begins with an
// enhanced status code, else sysexits(3).
func judge(cmd *exec.Cmd, err error, line, output string) Outcome {
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return Outcome{Enhanced: "2.0.0", Text: "delivered to command: " + line, Output: output}
	case status.Signaled():
		return Outcome{Enhanced: "4.3.0", Text: fmt.Sprintf("Command died with signal %d: %s%s", status.Signal(), quote(line), appended(output))}
	case !status.Exited() || status.ExitStatus() == 0:
		return Outcome{Enhanced: "4.3.0", Text: fmt.Sprintf("Command failed: %v: %s%s", err, quote(line), appended(output))}
	}
	if code, text, ok := enhanced(output); ok {
		return Outcome{Enhanced: code, Text: text}
	}
	if e, ok := sysexits[status.ExitStatus()]; ok {
		return Outcome{Enhanced: e.Enhanced, Text: e.Text + appended(output)}
	}
	return Outcome{Enhanced: "5.3.0", Text: fmt.Sprintf("Command died with status %d: %s%s", status.ExitStatus(), quote(line), appended(output))}
}

func quote(line string) string { return `"` + line + `"` }

func appended(output string) string {
	if output == "" {
		return ""
	}
	return ". Command output: " + output
}

// enhanced reads "5.1.1 text". Class 2 does not come with a failure.
func enhanced(s string) (code, text string, ok bool) {
	code, text, _ = strings.Cut(s, " ")
	part := strings.Split(code, ".")
	if len(part) != 3 || part[0] != "4" && part[0] != "5" {
		return "", "", false
	}
	for _, p := range part {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return "", "", false
		}
	}
	return code, strings.TrimSpace(text), true
}

// sysexits is sysexits(3) with the code and the words of each.
var sysexits = map[int]Outcome{
	64: {Enhanced: "5.3.0", Text: "command line usage error"},
	65: {Enhanced: "5.6.0", Text: "data format error"},
	66: {Enhanced: "5.3.0", Text: "cannot open input"},
	67: {Enhanced: "5.1.1", Text: "user unknown"},
	68: {Enhanced: "5.1.2", Text: "host name unknown"},
	69: {Enhanced: "5.3.0", Text: "service unavailable"},
	70: {Enhanced: "5.3.0", Text: "internal software error"},
	71: {Enhanced: "4.3.0", Text: "system resource problem"},
	72: {Enhanced: "5.3.0", Text: "critical OS file missing"},
	73: {Enhanced: "5.2.0", Text: "can't create user output file"},
	74: {Enhanced: "5.3.0", Text: "input/output error"},
	75: {Enhanced: "4.3.0", Text: "temporary failure"},
	76: {Enhanced: "5.5.0", Text: "remote error in protocol"},
	77: {Enhanced: "5.7.0", Text: "permission denied"},
	78: {Enhanced: "5.3.5", Text: "local configuration error"},
}

// maxOutput bounds what of a program's output is kept, in bytes.
const maxOutput = 1024

// head keeps the beginning of what is written to it.
type head struct{ b bytes.Buffer }

// Write takes everything, so that the program is not held up.
func (h *head) Write(p []byte) (int, error) {
	h.b.Write(p[:min(len(p), maxOutput-h.b.Len())])
	return len(p), nil
}

// text is one line that the log and a bounce can hold.
func (h *head) text() string {
	s := strings.TrimSpace(strings.ReplaceAll(h.b.String(), "\r\n", "\n"))
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || r == 0xfffd:
			return '?'
		}
		return r
	}, s)
}

// reading remembers why the message could not be read: a program that saw only
// a part of it must not count as a delivery.
type reading struct {
	r   io.Reader
	err error
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
