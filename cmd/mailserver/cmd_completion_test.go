package main

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestCompletions(t *testing.T) {
	dir := sampleDir(t)
	for _, c := range []struct{ line, want string }{
		{"que", "queue"},
		{"mailbox s", "search set show status"},
		{"--data " + dir + " mailbox set jo", "joe@vmail.example"},
		{"route --data " + dir + " everybody", "everybody@alias.example"},
		{"mailbox add x@vmail.example --password", "--password-hash --password-stdin"},
		{"config get myhost", "myhostname"},
		{"config set myhost", "myhostname="},
		{"domain rm --data " + dir + " vm", "vmail.example"},
		{"nothing x", ""},
	} {
		words := strings.Fields(c.line)
		a := &app{dir: dir}
		got := a.completions(context.Background(), words[:len(words)-1], words[len(words)-1])
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, want %s", c.line, got, c.want)
		}
	}
}
