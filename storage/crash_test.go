package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/sys/unix"

	"mailserver/schema"
)

// crashDir names the directory in which a child of TestKill works.
const crashDir = "STORAGE_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	os.Exit(m.Run())
}

func crashSpec(dir string) Spec {
	return Spec{User: "u@example.org", Dir: filepath.Join(dir, "Mail"), UID: -1, GID: -1}
}

// crashChild delivers, appends, moves and expunges until it is killed, and says
// what it has done once it is done.
func crashChild(dir string) {
	ctx := context.Background()
	state, err := schema.OpenState(ctx, filepath.Join(dir, "state.sqlite"))
	if err != nil {
		fmt.Println("fail", err)
		return
	}
	s, _ := Open(Deps{State: state})
	acc := s.Account(crashSpec(dir))
	acc.Create(ctx, "b", nil)
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		fmt.Printf(format+"\n", args...)
		mu.Unlock()
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				text := "Subject: " + id + "\r\n\r\n" + strings.Repeat("x", 500) + "\r\n"
				if g%2 == 0 {
					if err := deliver(acc, "INBOX", text); err != nil {
						say("fail %v", err)
						return
					}
					say("have %s", id)
					continue
				}
				d, err := acc.NewDraft(ctx, "INBOX", 0)
				if err != nil {
					say("fail %v", err)
					return
				}
				io.WriteString(d, text)
				validity, uids, err := acc.Append(ctx, "INBOX", []*Draft{d}, []AppendMeta{{Flags: []imap.Flag{"kw"}}})
				if err != nil {
					say("fail %v", err)
					return
				}
				say("have %s", id)
				say("uid %d %d %s", validity, uids[0], id)
			}
		})
	}
	all.Go(func() {
		for {
			v, err := acc.Select(ctx, "INBOX", false)
			if err != nil {
				say("fail %v", err)
				return
			}
			v.Store(ctx, imap.SeqSet{{Start: 1, Stop: 0}}, imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}, nil)
			if v.Len() > 3 {
				if _, err := v.Move(ctx, imap.SeqSetNum(1, 2), "b"); err != nil {
					say("fail %v", err)
				}
			}
			v.Close()
		}
	})
	all.Wait()
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	have := map[string]bool{}
	uidOf := map[string]string{}
	for round := range rounds {
		runAndKill(t, dir, time.Duration(80+round*37)*time.Millisecond, have, uidOf)
		verifyCrash(t, dir, have, uidOf)
	}
	t.Logf("%d messages were acknowledged", len(have))
}

func runAndKill(t *testing.T, dir string, after time.Duration, have map[string]bool, uidOf map[string]string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killer := time.AfterFunc(after, func() { cmd.Process.Kill() })
	defer killer.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "have":
			have[rest] = true
		case "uid":
			i := strings.LastIndexByte(rest, ' ')
			if id, had := uidOf[rest[:i]]; had {
				t.Errorf("UID %s was given to %s and to %s", rest[:i], id, rest[i+1:])
			}
			uidOf[rest[:i]] = rest[i+1:]
		case "fail":
			t.Error(rest)
		}
	}
	cmd.Wait()
}

func verifyCrash(t *testing.T, dir string, have map[string]bool, uidOf map[string]string) {
	ctx := context.Background()
	state, err := schema.OpenState(ctx, filepath.Join(dir, "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	s, _ := Open(Deps{State: state})
	defer s.Close()
	acc := s.Account(crashSpec(dir))
	count := map[string]int{}
	for _, name := range []string{"INBOX", "b"} {
		v, err := acc.Select(ctx, name, false)
		if errors.Is(err, ErrNoMailbox) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range v.Messages(imap.SeqSet{{Start: 1, Stop: 0}}) {
			b, err := v.Open(ctx, m.UID)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(b)
			b.Close()
			id, _, _ := strings.Cut(strings.TrimPrefix(string(text), "Subject: "), "\r\n")
			if int64(len(text)) != m.Size || len(text) < 500 {
				t.Errorf("message %s has %d bytes, its size is %d", id, len(text), m.Size)
			}
			count[id]++
			key := fmt.Sprint(v.UIDValidity(), " ", m.UID)
			if told, ok := uidOf[key]; ok && name == "INBOX" && told != id {
				t.Errorf("UID %s was %s and is %s", key, told, id)
			}
		}
		v.Close()
	}
	for id := range have {
		if count[id] != 1 {
			t.Errorf("message %s is there %d times", id, count[id])
		}
	}
	for id, n := range count {
		if n != 1 {
			t.Errorf("message %s is there %d times", id, n)
		}
	}
	diffs, err := s.Check(ctx, crashSpec(dir))
	if err != nil || len(diffs) > 0 {
		t.Fatal(diffs, err)
	}
}

// TestFullDisk fills a small file system.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("needs the right to mount a tmpfs:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	w := newWorld(t)
	w.spec.Dir = filepath.Join(dir, "Mail")
	w.acc = w.Account(w.spec)
	w.deliver("INBOX", mail)
	big := "Subject: big\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 700)
	delivered := 1
	var err error
	for err == nil {
		if err = deliver(w.acc, "INBOX", big); err == nil {
			delivered++
		}
		if delivered > 100 {
			t.Fatal("the disk never fills")
		}
	}
	if !errors.Is(err, ErrNoSpace) {
		t.Fatalf("got %v, want ErrNoSpace", err)
	}
	if n, _ := os.ReadDir(w.path("tmp")); len(n) != 0 {
		t.Errorf("%d files left in tmp/", len(n))
	}
	v := w.sel("INBOX")
	if int(v.Len()) != delivered {
		t.Errorf("%d messages, %d were delivered", v.Len(), delivered)
	}
	w.check()
	// It goes on when there is room.
	ctx := context.Background()
	if _, err := v.Store(ctx, uids(2), imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil); err != nil {
		t.Fatal(err)
	}
	if err := v.Expunge(ctx, nil); err != nil {
		t.Fatal(err)
	}
	w.deliver("INBOX", big)
	w.poll(v)
	if int(v.Len()) != delivered {
		t.Errorf("%d messages at the end, want %d", v.Len(), delivered)
	}
	v.Close()
}

// TestOwner needs root: files belong to the mailbox's UID and GID.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home := t.TempDir()
	for p := home; p != "/" && p != os.TempDir(); p = filepath.Dir(p) {
		os.Chmod(p, 0o755)
	}
	w := newWorld(t)
	w.spec.Dir, w.spec.UID, w.spec.GID = filepath.Join(home, "example.org", "u", "Mail"), 842, 800
	w.acc = w.Account(w.spec)
	ctx := context.Background()
	w.deliver("INBOX", mail)
	w.acc.Create(ctx, "a", nil)
	w.acc.Subscribe(ctx, "a", true)
	w.append("a", mail, "kw")
	v := w.sel("a")
	if _, err := v.Copy(ctx, uids(1), "INBOX"); err != nil {
		t.Fatal(err)
	}
	filepath.Walk(filepath.Join(home, "example.org", "u"), func(path string, info os.FileInfo, err error) error {
		if err != nil {
			t.Error(err)
			return nil
		}
		var st unix.Stat_t
		unix.Lstat(path, &st)
		mode := os.FileMode(fileMode)
		if info.IsDir() {
			mode = dirMode
		}
		if st.Uid != 842 || st.Gid != 800 || info.Mode().Perm() != mode {
			t.Errorf("%s belongs to %d:%d, mode %v", path, st.Uid, st.Gid, info.Mode())
		}
		return nil
	})
	// The thread has its own rights again.
	if uid, _ := unix.SetfsuidRetUid(-1); uid != 0 {
		t.Errorf("the file system UID is still %d", uid)
	}
	if err := os.WriteFile(filepath.Join(home, "root"), nil, 0o600); err != nil {
		t.Error(err)
	}
}
