package schema

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bigMail is a mail.sqlite with that many mailboxes in that many domains.
func bigMail(t testing.TB, domains, each int) *Mail {
	t.Helper()
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "mail.sqlite")
	if err := CreateMail(ctx, path); err != nil {
		t.Fatal(err)
	}
	err := Script(ctx, path, fmt.Sprintf(`
		WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i+1 FROM n WHERE i+1 < %d)
		INSERT INTO Domain (domName, domClass) SELECT 'd' || i || '.example', 842 FROM n;
		WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i+1 FROM n WHERE i+1 < %d)
		INSERT INTO Address (addLocalpart, addDomNum) SELECT 'u' || i, domNum FROM Domain, n;
		INSERT INTO VMailbox (vmNum, vmPasswd) SELECT addNum, '{PLAIN}x' FROM Address`, domains, each))
	if err != nil {
		t.Fatal(err)
	}
	m, err := OpenMail(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// askAll asks all that a recipient may need.
func askAll(t *testing.T, m *Mail, local, domain string) *Address {
	t.Helper()
	ctx := context.Background()
	v, err := m.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := v.Domain(ctx, domain)
	fail(err)
	at := local + "@" + domain
	for _, table := range []string{"canonical", "recipient_canonical", "generic"} {
		_, err = v.Canonical(ctx, table, at)
		fail(err)
	}
	for _, key := range []string{at, "@" + domain} {
		_, err = v.Relocated(ctx, key)
		fail(err)
		_, err = v.SenderOwners(ctx, key)
		fail(err)
		_, err = v.RelayHost(ctx, key)
		fail(err)
		_, err = v.Access(ctx, "recipients", key)
		fail(err)
		_, err = v.Backscatter(ctx, key)
		fail(err)
		_, err = v.Bcc(ctx, "recipient", key)
		fail(err)
	}
	_, err = v.TLSPolicy(ctx, domain)
	fail(err)
	if d == nil {
		return nil
	}
	_, err = v.Patterns(ctx, d.Num)
	fail(err)
	_, err = v.Address(ctx, d.Num, "")
	fail(err)
	a, err := v.Address(ctx, d.Num, local)
	fail(err)
	if a != nil && a.HasVAlias {
		_, err = v.VAliasTargets(ctx, a)
		fail(err)
	}
	return a
}

// TestOneStatementAnAddress: tables without rows are not asked, nor is the
// domain again: an address that nobody has asked for costs one statement.
func TestOneStatementAnAddress(t *testing.T) {
	m := bigMail(t, 10, 10)
	askAll(t, m, "u0", "d1.example")
	before := m.file.Load().asked.Load()
	for i := 1; i < 10; i++ {
		if askAll(t, m, fmt.Sprint("u", i), "d1.example") == nil {
			t.Fatal("an address is missing")
		}
	}
	if n := m.file.Load().asked.Load() - before; n != 9 {
		t.Errorf("%d statements for 9 addresses", n)
	}
	before = m.file.Load().asked.Load()
	askAll(t, m, "u9", "d1.example")
	if n := m.file.Load().asked.Load() - before; n != 0 {
		t.Errorf("%d statements for an address that was asked for", n)
	}
}

// TestLookUpsUseAnIndex: no look-up reads a table from its beginning, whatever
// tables have rows.
func TestLookUpsUseAnIndex(t *testing.T) {
	m := bigMail(t, 3, 3)
	ctx := context.Background()
	if err := Script(ctx, m.path, `
		INSERT INTO Relocated (rlAddress, rlTarget) VALUES ('a@b', 'c@d');
		INSERT INTO PatternAlias (paDomNum, paPattern, paTarget) VALUES (1, 'x%', 'c@d');
		INSERT INTO Bcc (bcMap, bcAddress, bcTarget) VALUES ('recipient', 'a@b', 'c@d');
		INSERT INTO SenderOwner (soAddress, soLogin) VALUES ('a@b', 'c@d');
		INSERT INTO RelayHost (rhSender, rhNexthop) VALUES ('a@b', '[x]');
		INSERT INTO TlsPolicy (tsNexthop, tsPolicy) VALUES ('b', 'may');
		INSERT INTO BScat (bsSender, bsTarget) VALUES ('<>', 'reject');
		INSERT INTO Access (acTable, acKey, acAction) VALUES ('recipients', 'a@b', 'OK');
		INSERT INTO Transport (tpTransport) VALUES ('smtp'); UPDATE Address SET addTpNum = 1;
		INSERT INTO VAlias (vaNum, vaTargetNum) SELECT 1, 2;
		INSERT INTO Canonical (cnMap, cnAddress, cnTarget) VALUES ('canonical', 'a@b', 'c@d'), ('recipient_canonical', 'a@b', 'c@d'), ('generic', 'a@b', 'c@d')`); err != nil {
		t.Fatal(err)
	}
	askAll(t, m, "u0", "d0.example")
	f := m.file.Load()
	queries := slices.Collect(maps.Keys(f.stmts))
	for _, aliases := range addressQueries {
		queries = slices.AppendSeq(queries, maps.Values(aliases))
	}
	if len(queries) < 14+4 {
		t.Errorf("only %d statements", len(queries))
	}
	for _, query := range queries {
		if strings.Contains(query, "EXISTS (SELECT 1 FROM Relocated)") || strings.Contains(query, "FROM SqlMap") {
			continue // ends at the first row; a table of a few rows
		}
		args := make([]any, strings.Count(query, "?"))
		rows, err := f.r.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		for rows.Next() {
			var id, parent, none int
			var detail string
			if err := rows.Scan(&id, &parent, &none, &detail); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(detail, "SCAN") && detail != "SCAN CONSTANT ROW" {
				t.Errorf("%s:\n  %s", query, detail)
			}
		}
		rows.Close()
	}
}

// TestCacheHasABound: names that nobody has, each another one, do not fill the
// memory, and do not drive out the domains.
func TestCacheHasABound(t *testing.T) {
	m := bigMail(t, 100, 1)
	for i := range 100 {
		askAll(t, m, "u0", fmt.Sprintf("d%d.example", i))
	}
	v, err := m.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 200)
	for i := range 20000 {
		if _, err := v.Address(context.Background(), 1, fmt.Sprint(long, i)); err != nil {
			t.Fatal(err)
		}
		if n := v.c.other.bytes; n > otherBytes/2 {
			t.Fatalf("%d bytes", n)
		}
	}
	sum := 0
	for _, half := range []map[cacheKey]any{v.c.other.young, v.c.other.old} {
		for k := range half {
			sum += len(k.key)
		}
	}
	if sum > otherBytes {
		t.Errorf("keys of %d bytes", sum)
	}
	before := v.m.asked.Load()
	for i := range 100 {
		if d, err := v.Domain(context.Background(), fmt.Sprintf("d%d.example", i)); err != nil || d == nil {
			t.Fatal(d, err)
		}
	}
	if n := v.m.asked.Load() - before; n != 0 {
		t.Errorf("%d domains were driven out", n)
	}
}
