package pickup

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadRequest(t *testing.T) {
	r := bufio.NewReader(strings.NewReader(`{"to":["a"],"size":3}` + "\nabc"))
	req, err := ReadRequest(r)
	if err != nil || len(req.To) != 1 || req.Size != 3 || req.From != nil {
		t.Fatalf("%+v %v", req, err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "abc" {
		t.Errorf("the message: %q", rest)
	}
	for _, bad := range []string{"x\n", `{"size":-1}` + "\n", `{"other":1}` + "\n", `"` + strings.Repeat("x", maxLine) + "\n"} {
		if _, err := ReadRequest(bufio.NewReader(strings.NewReader(bad))); !errors.Is(err, ErrSyntax) {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add(`{"from":"","to":["a@b"],"size":1}` + "\nx")
	f.Add("{}\n")
	f.Fuzz(func(t *testing.T, s string) {
		if req, err := ReadRequest(bufio.NewReader(strings.NewReader(s))); err == nil && req.Size < 0 {
			t.Errorf("%q: size %d", s, req.Size)
		}
	})
}
