package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mailserver/internal/testenv"
)

// containerfile is the file by instruction.
func containerfile(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../dist/container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		if word, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && word != "#" {
			all[word] = append(all[word], rest)
		}
	}
	return all
}

// jsonWords are the strings of an instruction in its JSON form.
func jsonWords(text string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// jail is a root directory as the container has it: the program and the data.
type jail struct {
	t    *testing.T
	root string
	env  []string
	uid  uint32
}

// newJail unpacks the image, with its owners.
func newJail(t *testing.T, file map[string][]string) *jail {
	t.Helper()
	j := &jail{t: t, root: filepath.Join(testenv.Dir(t), "root"), env: strings.Fields(file["ENV"][0])}
	if _, err := fmt.Sscanf(file["USER"][0], "%d", &j.uid); err != nil || j.uid == 0 {
		t.Fatalf("USER %q", file["USER"])
	}
	image := testenv.Dir(t)
	for _, run := range [][]string{
		{"env", "PROGRAM=" + program, "../dist/container/build", "0.0", image},
		{"mkdir", j.root}, {"tar", "-C", j.root, "--same-owner", "-xpf", filepath.Join(image, strings.TrimSuffix(file["ADD"][0], " /"))},
	} {
		mustOutside(t, "", run[0], run[1:]...)
	}
	return j
}

// command is the program in the jail, as its user.
func (j *jail) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/bin/mailserver", args...)
	cmd.Err = nil // it is looked for in the jail
	cmd.Env, cmd.Dir = j.env, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: j.root, Credential: &syscall.Credential{Uid: j.uid, Gid: j.uid, NoSetGroups: true}}
	return cmd
}

func (j *jail) run(args ...string) (int, string) {
	j.t.Helper()
	var out bytes.Buffer
	cmd := j.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); cmd.ProcessState == nil {
		j.t.Fatalf("%v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// TestContainer: what the container file names exists, and the program runs
// with nothing around it but its data, as a user that no file knows.
func TestContainer(t *testing.T) {
	file := containerfile(t)
	data := file["VOLUME"][0]
	_, health, _ := strings.Cut(file["HEALTHCHECK"][0], "CMD ")
	entry, serve, status := jsonWords(file["ENTRYPOINT"][0]), jsonWords(file["CMD"][0]), jsonWords(health)
	if file["FROM"][0] != "scratch" || entry[0] != "/usr/bin/mailserver" || status[0] != entry[0] || len(serve) == 0 {
		t.Fatalf("FROM %v, ENTRYPOINT %v, HEALTHCHECK %v, CMD %v", file["FROM"], entry, status, serve)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: a root directory of its own is not tried")
	}
	j, base := newJail(t, file), freeBase(t)
	if code, out := j.run(status[1:]...); code == 0 {
		t.Errorf("healthy without a server: %s", out)
	}
	code, out := j.run("setup", "--data", data, "--hostname", "mx.example", "--mailbox", "joe@vmail.example", "--port-base", fmt.Sprint(base))
	if code != 0 || !strings.Contains(out, "added the mailbox joe@vmail.example, password ") {
		t.Fatalf("setup: %d %s", code, out)
	}
	h := &host{t: t, dir: filepath.Join(j.root, data), base: base, log: new(syncBuffer), command: j.command(serve...)}
	t.Cleanup(h.stop)
	h.start(j.env...)
	if code, out := j.run(status[1:]...); code != 0 {
		t.Errorf("status: %d %s", code, out)
	}
	s := h.sender()
	if err := s.send("joe@vmail.example", message("jailed", "s", "x")); err != nil {
		t.Fatal(err)
	}
	if n := len(messages(t, h.folder("joe"))); n != 1 {
		t.Errorf("%d messages", n)
	}
	for _, args := range [][]string{{"check"}, {"backup", data + "/backups"}, {"verify", data + "/backups"}} {
		if code, out := j.run(append(args, "--data", data)...); code != 0 {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}

// TestSetupWithoutTemp: where no directory is for temporary files, the data
// directory is.
func TestSetupWithoutTemp(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root: no root directory of its own")
	}
	file := containerfile(t)
	j, data := newJail(t, file), file["VOLUME"][0]
	j.env = slices.DeleteFunc(j.env, func(v string) bool { return strings.HasPrefix(v, "TMPDIR=") })
	for _, args := range [][]string{{"setup", "--hostname", "mx.example", "--mailbox", "joe@vmail.example"}, {"check"}, {"address", "list"}} {
		if code, out := j.run(append(args, "--data", data)...); code != 0 {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}
