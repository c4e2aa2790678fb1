package schema

import (
	"context"
	"strings"
)

// HasSQLMap reports whether a row of SqlMap has that name, in any case.
func (v *View) HasSQLMap(ctx context.Context, name string) (bool, error) {
	return cached(v, cacheKey{kind: lookSQLMap, key: strings.ToLower(name)}, func() (bool, error) {
		var n int
		_, err := v.m.one(ctx, `SELECT EXISTS (SELECT 1 FROM SqlMap WHERE smName = ?)`, []any{name}, &n)
		return n != 0, wrap("look up SQL map "+name, err)
	})
}
