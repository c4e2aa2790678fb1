package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func auditLines(t *testing.T, m *Mail, text string) string {
	t.Helper()
	var b strings.Builder
	err := m.Audits(context.Background(), AuditQuery{Text: text, Since: time.Unix(0, 0), Most: 1000}, func(e AuditEntry) error {
		fmt.Fprintf(&b, "%s|%s|%s|%s|%s\n", e.Who, e.Action, e.Table, e.Row, strings.Join(e.Changes(), "; "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestAudit: changes of commands and of other programs, with who and what
// before and after; secrets never.
func TestAudit(t *testing.T) {
	m, path := newMail(t, someRows)
	ctx := context.Background()
	joe := WithActor(ctx, "joe: mailserver domain add")
	if err := m.Write(joe, func(t *Tx) error { return t.SetSetting("message_size_limit", "1M") }); err != nil {
		t.Fatal(err)
	}
	undone := errors.New("undone")
	if err := m.Write(joe, func(t *Tx) error { t.SetSetting("never", "1"); return undone }); !errors.Is(err, undone) {
		t.Fatal(err)
	}
	if err := Script(ctx, path, `
		UPDATE Domain SET active = 0 WHERE domName = 'box.example';
		UPDATE Domain SET active = 0 WHERE domName = 'box.example';
		UPDATE VMailbox SET vmPasswd = '{PLAIN}hunter2', vmQuota = 5 WHERE vmNum = 3;
		INSERT INTO Setting VALUES ('srs_secrets', 'hunter2'), ('oauth2_url', 'https://u:hunter2@x');
		INSERT INTO Administrator (adName, adPasswd) VALUES ('boss', 'hunter2');
		INSERT INTO RelayHost (rhNexthop, rhUser, rhPasswd) VALUES ('[x]', 'me', 'hunter2'); DELETE FROM RelayHost;
		INSERT INTO SaslPassword (spKey, spUser, spPasswd) VALUES ('x', 'me', 'hunter2');
		INSERT INTO DkimKey (dkDomain, dkSelector, dkAlgorithm, dkKey) VALUES ('x', 's', 'rsa', 'hunter2');
		UPDATE DkimKey SET dkKey = 'hunter2 again'`); err != nil {
		t.Fatal(err)
	}
	all := auditLines(t, m, "")
	for _, want := range []string{
		"joe: mailserver domain add|insert|Setting|message_size_limit|stName: message_size_limit; stValue: 1M\n",
		"|update|Domain|Box.example|active: 1 -> 0\n",
		"|update|VMailbox|ann@Box.example|vmPasswd: *** -> *** (new); vmQuota: 1000 -> 5",
		"|insert|Setting|srs_secrets|stName: srs_secrets; stValue: ***\n",
		"|delete|RelayHost||active: 1; ",
		"|update|DkimKey|s._domainkey.x|dkKey: *** -> *** (new)\n",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("want %q in\n%s", want, all)
		}
	}
	for _, bad := range []string{"hunter2", "never", "joe: mailserver domain add|update"} {
		if strings.Contains(all, bad) {
			t.Errorf("%q is in\n%s", bad, all)
		}
	}
	if n := strings.Count(all, "active: 1 -> 0"); n != 1 {
		t.Errorf("%d changes of one", n)
	}
	if got := auditLines(t, m, "BOX.example"); !strings.Contains(got, "active: 1 -> 0") || strings.Contains(got, "srs_secrets") {
		t.Errorf("by text:\n%s", got)
	}
}

// TestAuditKnowsEveryTable: a new table, or a column that looks like a secret,
// must be thought about.
func TestAuditKnowsEveryTable(t *testing.T) {
	m, _ := newMail(t, someRows)
	secret := regexp.MustCompile(`(?i)passw|secret|key$`)
	public := map[string]bool{"acKey": true, "spKey": true}
	err := m.each(context.Background(), `SELECT m.name || ' ' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'Audit%' AND m.name NOT LIKE 'sqlite%'`, nil, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		table, column, _ := strings.Cut(text, " ")
		if audited[table] == "" {
			t.Errorf("changes of %s are not recorded", table)
		}
		if secret.MatchString(column) && auditHidden[column] == "" && !public[column] {
			t.Errorf("%s of %s is shown", column, table)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAuditHasABound, whatever program writes.
func TestAuditHasABound(t *testing.T) {
	m, path := newMail(t, someRows)
	count := func() (n int) {
		if _, err := m.file.Load().one(context.Background(), `SELECT count(*) FROM Audit`, nil, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	run := func(sql string) {
		t.Helper()
		if err := Script(context.Background(), path, sql); err != nil {
			t.Fatal(err)
		}
	}
	many := `WITH RECURSIVE n(i) AS (VALUES (%d) UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO Relocated (rlAddress, rlTarget) SELECT 'u' || i, 'x' FROM n`
	run(`INSERT INTO Setting VALUES ('audit_rows', '500')`)
	run(fmt.Sprintf(many, 1, 3000))
	if n := count(); n < 500 || n > 600 {
		t.Errorf("%d changes are kept", n)
	}
	run(`UPDATE Audit SET auTime = auTime - 400*86400`)
	run(fmt.Sprintf(many, 3001, 3200))
	if n := count(); n > 200 {
		t.Errorf("%d changes are kept, most of them too old", n)
	}
	run(`UPDATE Setting SET stValue = '0' WHERE stName = 'audit_rows'`)
	before := count()
	run(fmt.Sprintf(many, 4001, 4050))
	if n := count(); n != before {
		t.Errorf("%d changes are recorded with none wanted", n-before)
	}
}

// TestAuditShort: a long value is cut, a value that was not there stays so.
func TestAuditShort(t *testing.T) {
	m, _ := newMail(t, someRows)
	ctx := context.Background()
	long := strings.Repeat("x", 3*auditValueMost)
	if err := m.Write(ctx, func(tx *Tx) error {
		return tx.exec(`INSERT INTO Relocated (rlAddress, rlTarget) VALUES ('a@b.example', ?)`, long)
	}); err != nil {
		t.Fatal(err)
	}
	got := auditLines(t, m, "a@b.example")
	if !strings.Contains(got, long[:auditValueMost]) || strings.Contains(got, long[:auditValueMost+1]) {
		t.Errorf("%s", got)
	}
	err := m.each(ctx, `SELECT auOld FROM Audit WHERE auRow = 'a@b.example'`, nil, func(rows *sql.Rows) error {
		var old sql.NullString
		if err := rows.Scan(&old); err != nil {
			return err
		}
		if old.Valid {
			t.Errorf("before it was made it was %s", old.String)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAuditTriggersAreSmall: every connection holds them parsed, so what all
// tables share stands once; a file of an older program gets the small ones.
func TestAuditTriggersAreSmall(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "mail.sqlite")
	if err := migrate(ctx, path, mailSteps[:5], nil); err != nil {
		t.Fatal(err)
	}
	if err := Script(ctx, path, `CREATE TRIGGER AuditSetting_update AFTER UPDATE ON Setting WHEN `+auditOn+` BEGIN
		INSERT INTO Audit (auAction) VALUES ('as it was'); END;`); err != nil {
		t.Fatal(err)
	}
	m, err := OpenMail(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := Script(ctx, path, `INSERT INTO Setting VALUES ('a', '1'); UPDATE Setting SET stValue = '2'`); err != nil {
		t.Fatal(err)
	}
	if got, want := auditLines(t, m, ""), "|insert|Setting|a|stName: a; stValue: 1\n|update|Setting|a|stValue: 1 -> 2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	err = m.each(ctx, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'Audit*_*' AND (sql LIKE '%audit_rows%' OR sql LIKE '%AuditBy%')`,
		nil, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			t.Errorf("%s holds what AuditChange has", name)
			return err
		})
	if err != nil {
		t.Fatal(err)
	}
}
