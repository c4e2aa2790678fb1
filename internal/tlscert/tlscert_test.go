package tlscert

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func write(t *testing.T, dir, name, host string, now time.Time) Row {
	t.Helper()
	r := Row{Hostname: host, CertFile: name + ".crt", KeyFile: name + ".key"}
	if err := SelfSigned(filepath.Join(dir, r.CertFile), filepath.Join(dir, r.KeyFile), host, now); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestChoose(t *testing.T) {
	rows := []Row{{Num: 1, Hostname: "mx.example"}, {Num: 2, Hostname: "*.example.org"}, {Num: 3, Hostname: "imap.example.org"}}
	tests := []struct {
		name string
		num  int64
		sni  string
		want int64
	}{
		{"first when nothing fits", 0, "", 1},
		{"exact before wildcard", 0, "IMAP.example.org", 3},
		{"wildcard", 0, "smtp.example.org", 2},
		{"wildcard covers one label", 0, "a.b.example.org", 1},
		{"number before name", 2, "imap.example.org", 2},
		{"number that is not there", 9, "imap.example.org", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r, ok := choose(rows, tt.num, tt.sni); !ok || r.Num != tt.want {
				t.Errorf("row %d, want %d", r.Num, tt.want)
			}
		})
	}
	if _, ok := choose(nil, 0, "x"); ok {
		t.Error("a row out of none")
	}
}

func TestRenewedFilesAreUsedAtOnce(t *testing.T) {
	dir, now, ctx := t.TempDir(), time.Now(), context.Background()
	row := write(t, dir, "a", "mx.example", now)
	s := New(dir, func(context.Context) ([]Row, error) { return []Row{row}, nil }, slog.New(slog.DiscardHandler))
	first, err := s.Pick(ctx, 0, "mx.example")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := s.Pick(ctx, 0, ""); again != first {
		t.Error("read again without a change")
	}
	next := write(t, dir, "b", "mx.example", now)
	for _, f := range [][2]string{{next.CertFile, row.CertFile}, {next.KeyFile, row.KeyFile}} {
		if err := os.Rename(filepath.Join(dir, f[0]), filepath.Join(dir, f[1])); err != nil {
			t.Fatal(err)
		}
	}
	second, err := s.Pick(ctx, 0, "")
	if err != nil || second.Leaf.SerialNumber.Cmp(first.Leaf.SerialNumber) == 0 {
		t.Fatalf("the old certificate is shown (%v)", err)
	}
	if err := os.WriteFile(filepath.Join(dir, row.CertFile), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if third, err := s.Pick(ctx, 0, ""); err != nil || third != second {
		t.Errorf("a half-written file took the certificate away: %v", err)
	}
}

func TestCheck(t *testing.T) {
	dir, now, ctx := t.TempDir(), time.Now(), context.Background()
	good, old := write(t, dir, "a", "mx.example", now), write(t, dir, "b", "old.example", now.Add(-2*selfSignedLife))
	other := good
	other.Hostname = "other.example"
	gone := Row{Hostname: "gone.example", CertFile: "no.crt", KeyFile: "no.key"}
	s := New(dir, func(context.Context) ([]Row, error) { return []Row{good, old, other, gone}, nil }, slog.New(slog.DiscardHandler))
	bad, err := s.Check(ctx, now)
	if err != nil || len(bad) != 3 || bad["mx.example"] != nil {
		t.Errorf("found %v, %v", bad, err)
	}
	if st, err := os.Stat(filepath.Join(dir, "a.key")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key has mode %v, %v", st.Mode(), err)
	}
}
