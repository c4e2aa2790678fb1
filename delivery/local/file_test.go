package local

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"mailserver/internal/asuser"
)

func me() asuser.ID { return asuser.ID{UID: os.Getuid(), GID: os.Getgid()} }

func form() *Form {
	return &Form{Sender: "s@x.test", Original: "o@y.test", Delivered: "d@y.test", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func newFile(path string) *File {
	return &File{Path: path, ID: me(), Mailbox: true, Attempts: 3, Delay: 10 * time.Millisecond, Stale: time.Hour}
}

const mboxHead = "From s@x.test  Fri Jan  2 03:04:05 2026\nReturn-Path: <s@x.test>\nX-Original-To: o@y.test\nDelivered-To: d@y.test\n"

func TestUnixForm(t *testing.T) {
	long := strings.Repeat("x", 20000)
	tests := []struct{ name, in, want string }{
		{"lines", "A: b\r\n\r\ntext\r\n", "A: b\n\ntext\n\n"},
		{"From lines", "From a\r\nxFrom b\r\nFrom c\r\n", ">From a\nxFrom b\n>From c\n\n"},
		{"no end of line", "text", "text\n\n"},
		{"lone CR stays", "a\rb\r\n", "a\rb\n\n"},
		{"CR at the end", "a\r", "a\r\n\n"},
		{"long line", long + "\r\nFrom x\r\n", long + "\n>From x\n\n"},
		{"CR at the end of a piece", strings.Repeat("x", 8<<10-1) + "\r\ny\r\n", strings.Repeat("x", 8<<10-1) + "\ny\n\n"},
		{"From inside a long line", strings.Repeat("x", 8<<10) + "From x\r\n", strings.Repeat("x", 8<<10) + "From x\n\n"},
		{"empty", "", "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := form()
			f.FromLine, f.Quote = true, true
			got, err := io.ReadAll(f.Reader(strings.NewReader(tt.in)))
			if err != nil || string(got) != mboxHead+tt.want {
				t.Errorf("%.200q %v", got, err)
			}
		})
	}
}

func TestMbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	f := newFile(path)
	for range 2 {
		if err := f.Append(t.Context(), form(), strings.NewReader("A: b\r\n\r\nx\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	one := mboxHead + "A: b\n\nx\n\n"
	if b, _ := os.ReadFile(path); string(b) != one+one {
		t.Errorf("%q", b)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	broken := io.MultiReader(strings.NewReader(strings.Repeat("x\r\n", 9000)), iotest.ErrReader(errors.New("broken")))
	if err := f.Append(t.Context(), form(), broken); err == nil {
		t.Error("a message that cannot be read was delivered")
	}
	if b, _ := os.ReadFile(path); string(b) != one+one {
		t.Errorf("a part was left: %d bytes", len(b))
	}
	if _, err := os.Stat(path + ".lock"); err == nil {
		t.Error("the lock file was left")
	}
}

// TestMboxLocks: no delivery sees the half of another.
func TestMboxLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	f := newFile(path)
	f.Attempts, f.Mailbox = 1000, false
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := f.Append(t.Context(), form(), strings.NewReader(strings.Repeat("x\r\n", 5000))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	one := mboxHead + strings.Repeat("x\n", 5000) + "\n"
	if b, _ := os.ReadFile(path); !bytes.Equal(b, bytes.Repeat([]byte(one), 20)) {
		t.Error("messages are mixed")
	}
	f.Attempts = 2
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), form(), strings.NewReader("x")); !errors.Is(err, ErrLocked) {
		t.Errorf("locked: %v", err)
	}
	f.Stale = time.Nanosecond
	if err := f.Append(t.Context(), form(), strings.NewReader("x")); err != nil {
		t.Errorf("stale lock: %v", err)
	}
}

func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	exec, link, two := filepath.Join(dir, "exec"), filepath.Join(dir, "link"), filepath.Join(dir, "two")
	os.WriteFile(exec, nil, 0o700)
	os.Symlink("target", link)
	os.WriteFile(two, nil, 0o600)
	os.Link(two, two+"2")
	os.Mkdir(filepath.Join(dir, "d"), 0o700)
	for _, path := range []string{exec, link, two, filepath.Join(dir, "d")} {
		if err := newFile(path).Append(t.Context(), form(), strings.NewReader("x")); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	if err := newFile("/dev/null").Append(t.Context(), form(), strings.NewReader("x")); err != nil {
		t.Errorf("/dev/null: %v", err)
	}
}

func TestMaildirFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "box")
	if err := newFile(dir+"/").Append(t.Context(), form(), strings.NewReader("A: b\r\n\r\nFrom x\r\n")); err != nil {
		t.Fatal(err)
	}
	list, _ := filepath.Glob(dir + "/new/*")
	if len(list) != 1 {
		t.Fatalf("%q", list)
	}
	_, head, _ := strings.Cut(mboxHead, "\n")
	if b, _ := os.ReadFile(list[0]); string(b) != head+"A: b\n\nFrom x\n" {
		t.Errorf("%q", b)
	}
}

func FuzzUnixForm(f *testing.F) {
	for _, s := range []string{"From x\r\n", "\r", "\r\r\n", "a\nb", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m := form()
		m.Quote = true
		got, err := io.ReadAll(iotest.OneByteReader(m.Reader(iotest.HalfReader(strings.NewReader(s)))))
		if err != nil || !bytes.HasSuffix(got, []byte("\n")) || bytes.Contains(got, []byte("\nFrom ")) {
			t.Errorf("%q gives %q, %v", s, got, err)
		}
	})
}
