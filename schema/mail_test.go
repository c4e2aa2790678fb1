package schema

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newMail returns an open mail.sqlite that holds rows, and its path.
func newMail(t testing.TB, rows string) (*Mail, string) {
	t.Helper()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "mail.sqlite")
	if err := CreateMail(ctx, path); err != nil {
		t.Fatal(err)
	}
	other(t, path, rows)
	m, err := OpenMail(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, path
}

// other runs SQL as another program would: on a connection of its own, with
// the pragmas of the sqlite3 shell.
func other(t testing.TB, path, rows string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(rows); err != nil {
		t.Fatalf("%v\n%s", err, rows)
	}
}

func view(t testing.TB, m *Mail) *View {
	t.Helper()
	v, err := m.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const someRows = `
INSERT INTO Transport (tpNum, tpTransport, tpNexthop, tpMx, tpPort) VALUES (1, 'lmtp', 'store.example', 0, 24), (2, NULL, 'mx.relay.example', 1, NULL);
INSERT INTO Domain (domNum, domName, domClass, domTpNum, domRcNum) VALUES
  (1, 'host.example', 1, NULL, NULL), (2, 'relay.example', 2, 2, 20), (3, 'alias.example', 3, NULL, NULL), (4, 'Box.example', 842, NULL, 10);
INSERT INTO RClass VALUES (10, 'aggressive'), (20, 'moderate');
INSERT INTO Address (addNum, addLocalpart, addDomNum, addTpNum, addRcNum, active) VALUES
  (1, 'Root', 1, NULL, NULL, 1), (2, 'info', 3, NULL, NULL, 1), (3, 'ann', 4, 1, 20, -1), (4, '', 3, NULL, NULL, 1);
INSERT INTO VMailbox (vmNum, vmPasswd, vmQuota) VALUES (3, '{PLAIN}x', 1000);
INSERT INTO VAlias (vaNum, vaTargetNum, vaExtension) VALUES (2, 3, 'info'), (2, 1, NULL);
INSERT INTO Alias (aliasNum, aliasTarget) VALUES (1, 'ann@box.example'), (1, '|/bin/true');
INSERT INTO Setting VALUES ('MyHostname', 'host.example');
`

func TestLookups(t *testing.T) {
	ctx := context.Background()
	m, _ := newMail(t, someRows)
	v := view(t, m)

	d, err := v.Domain(ctx, "RELAY.example")
	if err != nil || d == nil || d.Class != Relay || d.RClass != 20 || d.Transport == nil || d.Transport.String() != ":mx.relay.example" {
		t.Fatalf("relay domain: %+v, %v", d, err)
	}
	if d, err := v.Domain(ctx, "nowhere.example"); d != nil || err != nil {
		t.Fatalf("unknown domain: %+v, %v", d, err)
	}
	box, _ := v.Domain(ctx, "box.example")
	if !box.Class.IsMailbox() || box.RClass != 10 || box.Transport != nil {
		t.Fatalf("mailbox domain: %+v", box)
	}
	a, err := v.Address(ctx, box.Num, "ANN")
	if err != nil || a == nil || a.Active != -1 || a.RClass != 20 || a.Transport.String() != "lmtp:[store.example]:24" {
		t.Fatalf("address: %+v, %v", a, err)
	}
	if a.Mailbox == nil || a.Mailbox.Quota != 1000 || a.Mailbox.UID != -1 || a.Mailbox.Passwd != "{PLAIN}x" || !a.Mailbox.Active {
		t.Fatalf("mailbox: %+v", a.Mailbox)
	}
	if all, _ := v.Address(ctx, 3, ""); all == nil || all.Num != 4 {
		t.Fatalf("catch-all: %+v", all)
	}
	targets, err := v.VAliasTargets(ctx, &Address{Num: 2})
	if err != nil || len(targets) != 2 || targets[0] != (Target{"ann", "Box.example", "info"}) || targets[1] != (Target{"Root", "host.example", ""}) {
		t.Fatalf("virtual alias: %+v, %v", targets, err)
	}
	if list, err := v.AliasTargets(ctx, 1); err != nil || strings.Join(list, " ") != "ann@box.example |/bin/true" {
		t.Fatalf("alias: %q, %v", list, err)
	}
	if s, err := v.Settings(ctx); err != nil || s["myhostname"] != "host.example" {
		t.Fatalf("settings: %v, %v", s, err)
	}
}

func TestNextViewSeesWhatAnotherProgramChanged(t *testing.T) {
	ctx := context.Background()
	m, path := newMail(t, someRows)
	before := view(t, m)
	if d, _ := before.Domain(ctx, "new.example"); d != nil {
		t.Fatalf("domain is there already: %+v", d)
	}
	if again := view(t, m); again.Generation() != before.Generation() {
		t.Fatal("the generation changed though no row did")
	}
	other(t, path, `INSERT INTO Domain (domName, domClass) VALUES ('new.example', 1)`)
	after := view(t, m)
	if after.Generation() == before.Generation() {
		t.Fatal("the generation did not change")
	}
	if d, err := after.Domain(ctx, "new.example"); d == nil || err != nil {
		t.Fatalf("new domain is not seen: %v", err)
	}
	if err := m.Write(ctx, func(tx *Tx) error { return tx.exec(`DELETE FROM Domain WHERE domName = 'new.example'`) }); err != nil {
		t.Fatal(err)
	}
	if d, err := view(t, m).Domain(ctx, "new.example"); d != nil || err != nil {
		t.Fatalf("our own change is not seen: %+v, %v", d, err)
	}
}

func TestOpenMailRefuses(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.sqlite")
	if _, err := OpenMail(ctx, missing); !errors.Is(err, ErrNoDatabase) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the missing file was made")
	}
	newer := filepath.Join(dir, "newer.sqlite")
	if err := CreateMail(ctx, newer); err != nil {
		t.Fatal(err)
	}
	other(t, newer, `PRAGMA user_version=1000`)
	if _, err := OpenMail(ctx, newer); !errors.Is(err, ErrNewer) {
		t.Errorf("newer file: %v", err)
	}
}

func TestViewAfterClose(t *testing.T) {
	m, _ := newMail(t, someRows)
	view(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.View(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestMigrationKeepsACopy(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "x.sqlite")
	one := []migration{{"one", `CREATE TABLE a (x); INSERT INTO a VALUES (7)`}}
	if err := migrate(ctx, path, one, nil); err != nil {
		t.Fatal(err)
	}
	two := append(one, migration{"two", `UPDATE a SET x = 8`})
	if err := migrate(ctx, path, two, nil); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]int{path: 8, path + ".v1": 7} {
		db, err := open(file, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if err := db.QueryRow(`SELECT x FROM a`).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", file, got, err, want)
		}
		db.Close()
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestConstraints(t *testing.T) {
	_, path := newMail(t, someRows)
	db, err := open(path, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	refused := map[string]string{
		"B6, class 100":               `INSERT INTO RClass VALUES (100, 'x')`,
		"class of an address":         `UPDATE Address SET addRcNum = 100`,
		"upper case twin of domain":   `INSERT INTO Domain (domName) VALUES ('BOX.EXAMPLE')`,
		"upper case twin of address":  `INSERT INTO Address (addLocalpart, addDomNum) VALUES ('ANN', 4)`,
		"NULL twin of transport":      `INSERT INTO Transport (tpNexthop) VALUES ('MX.relay.example')`,
		"twin of alias":               `INSERT INTO VAlias (vaNum, vaTargetNum) VALUES (2, 1)`,
		"reserved classes":            `INSERT INTO Domain (domName, domClass) VALUES ('x', 500)`,
		"address of no domain":        `INSERT INTO Address (addLocalpart, addDomNum) VALUES ('x', 99)`,
		"domain that has an address":  `DELETE FROM Domain WHERE domNum = 4`,
		"address that is an alias":    `DELETE FROM Address WHERE addNum = 2`,
		"mailbox of no address":       `INSERT INTO VMailbox (vmNum) VALUES (99)`,
		"active of an address":        `UPDATE Address SET active = 2`,
		"a name with at in domain":    `INSERT INTO Domain (domName) VALUES ('a@b')`,
		"a listener without protocol": `INSERT INTO Listener (lsProtocol, lsAddress) VALUES ('gopher', ':70')`,
	}
	for name, stmt := range refused {
		if _, err := db.Exec(stmt); err == nil {
			t.Errorf("%s: taken: %s", name, stmt)
		}
	}
}

func TestDefinitionsLoadInTheShell(t *testing.T) {
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("sqlite3 is not installed")
	}
	for name, ddl := range map[string]string{"mail": mailDDL, "state": stateQueueDDL + stateIndexDDL} {
		cmd := exec.Command(shell, "-bail", filepath.Join(t.TempDir(), name))
		cmd.Stdin = strings.NewReader(ddl)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func BenchmarkView(b *testing.B) {
	m, _ := newMail(b, someRows)
	ctx := context.Background()
	for b.Loop() {
		v, err := m.View(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if d, err := v.Domain(ctx, "box.example"); d == nil || err != nil {
			b.Fatal(err)
		}
	}
}
