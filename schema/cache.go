package schema

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
)

// Bounds of what look-ups keep in memory. Of a big host all domains stay, 10,000
// and more, and of the addresses those that have been asked for last. What stays
// for certain is half (shelf), and 10,000 domains take 2.8 MB.
const (
	domainBytes = 6 << 20
	otherBytes  = 1 << 20
)

// cache holds look-ups of one data_version. A new version means a new cache,
// so an answer never outlives the rows that it came from.
type cache struct {
	gen     int64 // counts caches; the Generation of their Views
	view    atomic.Pointer[View]
	domains shelf // that are rows; names that are none are other
	other   shelf
}

type cacheKey struct {
	kind lookup
	num  int64
	key  string
}

func newCache(gen int64) *cache {
	c := &cache{gen: gen}
	c.domains.most, c.other.most = domainBytes, otherBytes
	return c
}

// ofDomain reports whether there may be one such entry for each domain.
func (k cacheKey) ofDomain() bool {
	return k.kind == lookDomain || k.kind == lookDomNum || k.kind == lookPatterns
}

func (c *cache) get(k cacheKey) (val any, ok bool) {
	if k.ofDomain() {
		if val, ok = c.domains.get(k); ok {
			return val, ok
		}
	}
	return c.other.get(k)
}

func (c *cache) put(k cacheKey, val any) {
	if d, isDomain := val.(*Domain); k.ofDomain() && !(isDomain && d == nil) {
		c.domains.put(k, val)
		return
	}
	c.other.put(k, val)
}

// shelf keeps entries in two halves: what is asked for goes into the young one;
// when that is full it becomes the old one, whose entries are forgotten. So
// what is asked for often stays, whatever a flood of unknown names brings.
type shelf struct {
	most       int // bytes
	mu         sync.RWMutex
	young, old map[cacheKey]any
	bytes      int // of young, about
}

func (s *shelf) get(k cacheKey) (val any, ok bool) {
	s.mu.RLock()
	val, ok = s.young[k]
	if ok || s.old == nil {
		s.mu.RUnlock()
		return val, ok
	}
	val, ok = s.old[k]
	s.mu.RUnlock()
	if ok {
		s.put(k, val)
	}
	return val, ok
}

// entryBytes is what an entry of a map costs beside what it points to.
const entryBytes = 96

func (s *shelf) put(k cacheKey, val any) {
	n := entryBytes + len(k.key)
	if k.kind != lookDomNum { // that is counted by its name
		n += weight(reflect.ValueOf(val), 4)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[k]; ok {
		return
	}
	if s.young == nil || s.bytes+n > s.most/2 {
		s.old, s.young, s.bytes = s.young, make(map[cacheKey]any), 0
	}
	s.young[k] = val
	s.bytes += n
}

// weight is about how many bytes a value keeps in memory, down to depth.
func weight(v reflect.Value, depth int) int {
	if !v.IsValid() || depth == 0 {
		return 0
	}
	n := 0
	switch v.Kind() {
	case reflect.String:
		n = v.Len()
	case reflect.Pointer:
		if !v.IsNil() {
			n = int(v.Type().Elem().Size()) + weight(v.Elem(), depth-1)
		}
	case reflect.Slice:
		n = v.Len() * int(v.Type().Elem().Size())
		for i := range v.Len() {
			n += weight(v.Index(i), depth-1)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			n += entryBytes + weight(it.Key(), depth-1) + weight(it.Value(), depth-1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += weight(v.Field(i), depth-1)
		}
	}
	return n
}

// lookup names a kind of look-up in the cache.
type lookup uint8

// cached returns the remembered answer of a look-up, or asks load for it.
// "No such row" is remembered too. An error is not.
func cached[T any](v *View, k cacheKey, load func() (T, error)) (T, error) {
	if got, ok := v.c.get(k); ok {
		return got.(T), nil
	}
	val, err := load()
	if err == nil {
		v.c.put(k, val)
	}
	return val, err
}

// filled says which tables have rows at all. Most hosts leave most of them
// empty; without this, each address asks each of them once.
type filled struct{ relocated, pattern, bcc, owner, relayHost, tlsPolicy, backscatter, alias, subdomain bool }

func (v *View) filled(ctx context.Context) (*filled, error) {
	return cached(v, cacheKey{kind: lookFilled}, func() (*filled, error) {
		var f filled
		_, err := v.m.one(ctx, `SELECT EXISTS (SELECT 1 FROM Relocated), EXISTS (SELECT 1 FROM PatternAlias), EXISTS (SELECT 1 FROM Bcc),
			EXISTS (SELECT 1 FROM SenderOwner), EXISTS (SELECT 1 FROM RelayHost), EXISTS (SELECT 1 FROM TlsPolicy), EXISTS (SELECT 1 FROM BScat),
			EXISTS (SELECT 1 FROM VAlias) OR EXISTS (SELECT 1 FROM Alias),
			EXISTS (SELECT 1 FROM Domain WHERE domName >= '.' AND domName < '/' AND domClass = 2)`,
			nil, &f.relocated, &f.pattern, &f.bcc, &f.owner, &f.relayHost, &f.tlsPolicy, &f.backscatter, &f.alias, &f.subdomain)
		return &f, wrap("look for rows", err)
	})
}
