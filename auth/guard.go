package auth

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"mailserver/schema"
)

// guard holds guessers off: by address, by network, by account. A user who has
// logged in from an address before is counted by himself there, so that
// neither a colleague's old phone nor a botnet keeps him out.
type guard struct {
	state *schema.State // nil: nothing outlives the process
	log   *slog.Logger
	now   func() time.Time
	seed  maphash.Seed
	t     throttle
	stop  chan struct{} // closed when nobody is to wait any more
	once  sync.Once     // closes stop

	mu   sync.Mutex // guards seen
	seen map[uint64]time.Time
}

func newGuard(d Deps) *guard {
	return &guard{state: d.State, log: d.Log, now: d.Now, stop: make(chan struct{}), seed: maphash.MakeSeed(), seen: make(map[uint64]time.Time)}
}

var (
	errBanned   = errors.New("the address is banned for guessing passwords")
	errStopping = errors.New("the server stops")
	errTooSoon  = errors.New("too many wrong passwords from this address")
)

// gate is one attempt that the guard has let in.
type gate struct {
	g       *guard
	cfg     *Config
	proto   string
	user    string
	net     string // address, of IPv6 the /64; '' none
	far     string // what net is part of
	lane    lane   // known: the user has logged in from net before
	guess   uint64
	address uint64   // key of the counter that leads to a ban; 0 none
	charged []uint64 // keys
}

// guess is a digest of what is tried.
func (g *guard) guess(user, password string) uint64 { return g.key("guess", user, password) | 1 }

func (g *guard) key(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	for _, p := range parts {
		h.WriteString(p)
		h.WriteByte(0)
	}
	return h.Sum64()
}

// networks returns the address as the guard counts it, and what it is part of:
// of IPv4 the address and its /24, of IPv6, where a customer has a /64, that
// and its /48.
func networks(a netip.Addr) (near, far string) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return "", ""
	}
	bits, wide := 32, 24
	if a.Is6() {
		bits, wide = 64, 48
	}
	near = netip.PrefixFrom(a, bits).Masked().String()
	if a.Is4() {
		near = a.String()
	}
	return near, netip.PrefixFrom(a, wide).Masked().String()
}

// Network returns the network that is banned for what an address does: itself,
// of IPv6 its /64.
func Network(a netip.Addr) string {
	near, _ := networks(a)
	return near
}

// enter waits as long as an attempt has to be held off, and lets it in. The
// errors say why it may not even wait, or that ctx ended.
func (g *guard) enter(ctx context.Context, cfg *Config, c Client, user string, guess uint64) (*gate, error) {
	now := g.now()
	gt := &gate{g: g, cfg: cfg, proto: c.Service, user: user, guess: guess}
	near, far := networks(c.Remote)
	gt.net, gt.far, gt.lane = near, far, g.knows(ctx, user, near)
	if !cfg.Throttle {
		return gt, nil
	}
	exempt, err := listed(cfg.ThrottleExempt, c.Remote)
	if err != nil {
		g.log.Error("setting auth_throttle_exempt", "err", err)
	}
	if gt.lane != known && !exempt && g.banned(ctx, near, now) {
		return nil, errBanned
	}
	type count struct {
		key  uint64
		rule rule
	}
	var counts []count
	switch {
	case gt.lane == known:
		counts = []count{{g.key("pair", user, near), byPair}}
	case near == "" || exempt:
		counts = []count{{g.key("account", user), byAccount}}
	default:
		gt.address = g.key("address", near)
		counts = []count{{gt.address, byAddress}, {g.key("network", far), byNetwork}, {g.key("account", user), byAccount}}
	}
	var hold time.Duration
	for _, k := range counts {
		d, earlier, charged, ok := g.t.charge(k.key, k.rule, guess, now, cfg.ThrottleMax, cfg.ThrottleSize)
		if charged {
			gt.charged = append(gt.charged, k.key)
		}
		gt.lane = gt.lane.after(k.rule, earlier)
		if !ok {
			gt.undecided()
			return nil, errTooSoon
		}
		hold = max(hold, d)
	}
	wait(ctx, g.stop, hold)
	select {
	case <-g.stop:
		gt.undecided()
		return nil, errStopping
	default:
	}
	if err := ctx.Err(); err != nil {
		gt.undecided()
		return nil, err
	}
	return gt, nil
}

// knows asks whether the user has logged in from there. Without an answer he
// has not: the limits for strangers hold.
func (g *guard) knows(ctx context.Context, user, near string) lane {
	if g.state == nil || near == "" {
		return stranger
	}
	here, anywhere, err := g.state.Seen(ctx, user, near)
	if err != nil {
		g.log.Warn("log-ins seen before are not known", "err", err)
	}
	switch {
	case here:
		return known
	case anywhere:
		return met
	}
	return stranger
}

// after is the lane of who had one, when wrong passwords were counted earlier.
func (l lane) after(r rule, earlier bool) lane {
	switch {
	case !earlier || l == known:
		return l
	case r != byAccount:
		return suspect
	}
	return max(l, stranger)
}

func (g *guard) banned(ctx context.Context, near string, now time.Time) bool {
	if g.state == nil || near == "" {
		return false
	}
	yes, err := g.state.Banned(ctx, near, now)
	if err != nil {
		g.log.Warn("bans are not known", "err", err)
	}
	return yes
}

// listed reports whether an address is in a list of addresses and networks, as
// mynetworks has them.
func listed(list []string, a netip.Addr) (bool, error) {
	a = a.Unmap()
	for _, text := range list {
		clean := strings.NewReplacer("[", "", "]", "").Replace(text)
		if !strings.Contains(clean, "/") {
			one, err := netip.ParseAddr(clean)
			if err != nil {
				return false, fmt.Errorf("%q is not an address or network", text)
			}
			if one == a {
				return true, nil
			}
			continue
		}
		p, err := netip.ParsePrefix(clean)
		if err != nil {
			return false, fmt.Errorf("%q is not an address or network", text)
		}
		if p.Contains(a) {
			return true, nil
		}
	}
	return false, nil
}

// undecided ends an attempt that was no guess.
func (gt *gate) undecided() {
	for _, k := range gt.charged {
		gt.g.t.refund(k, gt.guess, gt.g.now(), gt.cfg.ThrottleSize)
	}
	gt.charged = nil
}

// seenNoted is how exactly the last log-in of a user from a network is kept.
const seenNoted = time.Hour

// passed ends an attempt with a right password. name is who it was.
func (gt *gate) passed(ctx context.Context) {
	gt.undecided()
	g, now := gt.g, gt.g.now()
	if g.state == nil || gt.net == "" {
		return
	}
	key := g.key("seen", gt.user, gt.net)
	g.mu.Lock()
	fresh := now.Sub(g.seen[key]) >= seenNoted
	if fresh {
		if len(g.seen) >= maxSeen {
			clear(g.seen)
		}
		g.seen[key] = now
	}
	g.mu.Unlock()
	if !fresh {
		return
	}
	err := g.state.Write(ctx, func(tx *schema.Tx) error { return tx.AddSeen(gt.user, gt.net, gt.proto, now) })
	if err != nil {
		g.log.Warn("log-in not recorded", "err", err)
	}
}

// maxSeen bounds the memory of log-ins already recorded.
const maxSeen = 8192

// refused ends an attempt with a wrong password: the charge stays. An address
// with too many is banned.
func (gt *gate) refused(ctx context.Context) {
	g, now := gt.g, gt.g.now()
	if gt.address == 0 || g.state == nil || !g.t.reached(gt.address, gt.cfg.BanFailures, now, gt.cfg.ThrottleSize) {
		return
	}
	var until time.Time
	err := g.state.Write(ctx, func(tx *schema.Tx) (err error) {
		until, err = tx.AddBan(gt.net, "wrong passwords, last for "+gt.user, now, gt.cfg.BanTime, gt.cfg.BanMaxTime)
		return err
	})
	if err != nil {
		g.log.Warn("address not banned", "remote", gt.net, "err", err)
		return
	}
	g.log.Warn("address banned for wrong passwords", "remote", gt.net, "until", until.UTC().Format(time.RFC3339))
}
