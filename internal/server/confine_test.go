package server

import (
	"os"
	"slices"
	"strings"
	"testing"

	"mailserver/internal/landlock"
)

func TestNamedPaths(t *testing.T) {
	for text, want := range map[string][]string{
		"/home/vmail/%d/%n":                    {"/home/vmail"},
		"/srv/mail/x%d":                        {"/srv/mail"},
		"unix:/run/x/sock":                     {"/run/x/sock"},
		"|/usr/bin/prog -f /var/x":             {"/usr/bin/prog", "/var/x"},
		`"|/opt/my prog"`:                      {"/opt/my"},
		":include:/srv/list":                   {"/srv/list"},
		"127.0.0.0/8, ::1/128":                 nil,
		"https://acme.example/directory":       {"/acme.example/directory"}, // not there: nothing comes of it
		"$data_directory/x":                    nil,
		"/%d":                                  nil,
		"a b":                                  nil,
		"/srv/a/../b":                          {"/srv/b"},
		"maildir:/srv/x/:INDEX=/var/cache/idx": {"/srv/x", "/var/cache/idx"},
	} {
		if got := namedPaths(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestWhatARowPermits(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                   dir,
		dir + "/file":         dir,
		dir + "/none":         dir,
		dir + "/none/deep":    dir,
		"/etc/passwd":         "",
		"/etc":                "",
		"/":                   "",
		"/home":               "",
		"/home/none/x":        "",
		"/usr/lib/x/none":     "",
		"/nowhere/at/all/x":   "",
		"/var/log/none.log":   "/var/log",
		"/proc/self/none/one": "",
	} {
		var r landlock.Rules
		permit(&r, path)
		if got := strings.Join(r.Write, " "); got != want || len(r.Read) > 0 {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
