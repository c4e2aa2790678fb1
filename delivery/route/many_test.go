package route

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
)

// manyAddresses adds domains d0.scale.example and so on, each with mailboxes u0
// and so on.
func manyAddresses(domains, each int) string {
	return fmt.Sprintf(`
		WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i+1 FROM n WHERE i+1 < %d)
		INSERT INTO Domain (domName, domClass) SELECT 'd' || i || '.scale.example', 842 FROM n;
		WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i+1 FROM n WHERE i+1 < %d)
		INSERT INTO Address (addLocalpart, addDomNum) SELECT 'u' || i, domNum FROM Domain, n WHERE domName LIKE '%%.scale.example';
		INSERT INTO VMailbox (vmNum, vmPasswd) SELECT addNum, '{PLAIN}x' FROM Address JOIN Domain ON domNum = addDomNum WHERE domName LIKE '%%.scale.example'`,
		domains, each)
}

// BenchmarkManyAddresses resolves a recipient out of many, each time another.
func BenchmarkManyAddresses(b *testing.B) {
	for _, size := range []struct{ domains, each int }{{1, 10}, {10000, 100}} {
		b.Run(fmt.Sprint(size.domains*size.each), func(b *testing.B) {
			r, _ := newRouter(b, manyAddresses(size.domains, size.each))
			fixConfig(b, r)
			to := make([]string, 1<<16)
			for i := range to {
				to[i] = fmt.Sprintf("u%d@d%d.scale.example", rand.IntN(size.each), rand.IntN(size.domains))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p, err := r.Recipient(context.Background(), parse(b, to[i%len(to)]))
				if err != nil || !p.Listed {
					b.Fatal(p, err)
				}
			}
		})
	}
}
