package cleanup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// watch returns hooks that note what they are asked, and keep everything.
func watch(seen *[]string, parts, lines bool) Hooks {
	h := Hooks{Parts: parts, FieldMost: 200, LineMost: 256, NestMost: 3, TooDeep: errors.New("too deep"),
		Field: func(k Kind, f *Field) ([]byte, error) {
			*seen = append(*seen, fmt.Sprintf("%d %s", k, strings.ReplaceAll(f.Text(), "\n", "|")))
			return f.Raw, nil
		},
		HeaderEnd: func() (string, error) { *seen = append(*seen, "end"); return "", nil },
	}
	if lines {
		h.Line = func(line []byte, at int64) ([]byte, bool, error) {
			*seen = append(*seen, fmt.Sprintf("@%d %s", at, line))
			return line, true, nil
		}
	}
	return h
}

func pass(t testing.TB, h Hooks, text string, one bool) (string, error) {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, h)
	var r io.Reader = strings.NewReader(text)
	if one {
		r = iotest.OneByteReader(r)
	}
	_, err := io.Copy(struct{ io.Writer }{w}, r)
	if err == nil {
		err = w.Close()
	}
	return b.String(), err
}

const multipart = "From: a@b\r\nContent-Type: multipart/mixed;\r\n boundary=\"x y\"\r\n\r\npreamble\r\n--x y\r\nContent-Type: text/plain\r\n\r\none\r\n" +
	"--x y\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\nX: 1\r\n\r\ntwo\r\n--in--\r\nafter\r\n--x y--\r\nepilogue\r\n"

func TestWhatIsAsked(t *testing.T) {
	for _, c := range []struct {
		name, text   string
		parts, lines bool
		want         string
	}{
		{"header", "A: 1\r\n 2\r\nB : 3\r\n\r\nC: body\r\n", false, false, "0 A: 1| 2\n0 B : 3\nend"},
		{"header only", "A: 1\r\n 2", false, false, "0 A: 1| 2\nend"},
		{"no header", "text\r\n", false, true, "end\n@0 text"},
		{"nothing", "", false, true, "end"},
		{"parts", multipart, true, false, "0 From: a@b\n1 Content-Type: multipart/mixed;| boundary=\"x y\"\nend\n1 Content-Type: text/plain\n" +
			"1 Content-Type: message/rfc822\n2 Subject: in\n1 Content-Type: multipart/alternative; boundary=in\n1 X: 1"},
		{"lines", multipart, false, true, "0 From: a@b\n1 Content-Type: multipart/mixed;| boundary=\"x y\"\nend\n@0 preamble\n@10 --x y\n@0 one\n@5 --x y\n" +
			"@0 --in\n@0 two\n@5 --in--\n@0 after\n@7 --x y--\n@0 epilogue"},
	} {
		for _, one := range []bool{false, true} {
			var seen []string
			got, err := pass(t, watch(&seen, c.parts, c.lines), c.text, one)
			want := c.text
			if c.name == "no header" {
				want = "\r\n" + want
			}
			if err != nil || got != want {
				t.Errorf("%s: passed on %q, %v", c.name, got, err)
			}
			asked := strings.Join(seen, "\n")
			if c.name == "parts" {
				asked = strings.ReplaceAll(asked, "2 Content-Type", "1 Content-Type")
			}
			if asked != c.want {
				t.Errorf("%s: asked\n%s\nwant\n%s", c.name, asked, c.want)
			}
		}
	}
}

func TestChanges(t *testing.T) {
	h := Hooks{FieldMost: 100, LineMost: 256, NestMost: 9, Parts: true,
		Field: func(_ Kind, f *Field) ([]byte, error) {
			switch f.Name {
			case "drop":
				return nil, nil
			case "change":
				return []byte("Changed: yes\r\n"), nil
			}
			return f.Raw, nil
		},
		HeaderEnd: func() (string, error) { return "Added: 1\r\n", nil },
		Line: func(line []byte, _ int64) ([]byte, bool, error) {
			return bytes.ReplaceAll(line, []byte("bad"), []byte("good")), !bytes.Contains(line, []byte("secret")), nil
		},
	}
	long := strings.Repeat("y", 150)
	text := "Drop: a\r\n\tb\r\nKeep: " + long + "\r\n " + long + "\r\nDrop: " + long + "\r\n " + long + "\r\nChange: x\r\n\r\nbad\r\nsecret\r\nend"
	want := "Keep: " + long + "\r\n " + long + "\r\nChanged: yes\r\nAdded: 1\r\n\r\ngood\r\nend"
	for _, one := range []bool{false, true} {
		if got, err := pass(t, h, text, one); err != nil || got != want {
			t.Errorf("%q, %v\nwant\n%q", got, err, want)
		}
	}
}

func TestTooDeep(t *testing.T) {
	text := ""
	for i := range 5 {
		text += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	var seen []string
	if _, err := pass(t, watch(&seen, true, false), text, false); err == nil || err.Error() != "too deep" {
		t.Errorf("error %v", err)
	}
	if _, err := pass(t, watch(&seen, false, false), text, false); err != nil {
		t.Errorf("a body that nobody looks at: %v", err)
	}
}

func FuzzPass(f *testing.F) {
	f.Add(multipart, true, true)
	f.Add("A: 1\r\n\r\n", false, false)
	f.Add("A:"+strings.Repeat("x", 300)+"\n y\n\nz", true, true)
	f.Add("Content-Type: multipart/x; boundary=\n--\n", true, true)
	f.Fuzz(func(t *testing.T, text string, parts, lines bool) {
		var seen, again []string
		got, err := pass(t, watch(&seen, parts, lines), text, false)
		if err != nil {
			return
		}
		if strings.TrimPrefix(got, "\r\n") != strings.TrimPrefix(text, "\r\n") && strings.Replace(got, "\r\n", "", 1) != strings.Replace(text, "\r\n", "", 1) && len(got) != len(text)+2 {
			t.Errorf("%q became %q", text, got)
		}
		if by1, _ := pass(t, watch(&again, parts, lines), text, true); by1 != got || strings.Join(seen, "\n") != strings.Join(again, "\n") {
			t.Errorf("in pieces %q is %q, at once %q", text, by1, got)
		}
	})
}
