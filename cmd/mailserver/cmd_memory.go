package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mailserver/internal/config"
	"mailserver/internal/server"
	"mailserver/policy"
	"mailserver/schema"
)

// memoryCommands show and clear what policy remembers.
func memoryCommands() []command {
	return []command{
		{name: "limit list", about: "what users have sent within an hour and a day, and their limits", setup: limitList},
		{name: "limit set", args: "USER", min: 1, max: 1, about: "give a user limits of his own", more: "Recipients within an hour and a day; 0 is no limit. What is not said stays that of the settings.", setup: limitSet},
		{name: "limit rm", args: "USER", min: 1, max: 1, about: "let the settings hold for a user again", setup: limitRemove},
		{name: "limit reset", args: "USER", min: 1, max: 1, about: "forget what a user has sent: he may send again at once", setup: limitReset},
		{name: "greylist list", about: "what greylisting remembers, the last seen first", setup: greyList},
		{name: "greylist forget", args: "TEXT|ALL", min: 1, max: 1, about: "forget entries that contain a text", setup: greyForget},
		{name: "verification list", args: "[ADDRESS]", max: 1, about: "what next hops have said of addresses", setup: verifyList},
		{name: "verification forget", args: "ADDRESS|ALL", min: 1, max: 1, about: "ask about an address again", setup: verifyForget},
	}
}

// withState opens state.sqlite for a command.
func (a *app) withState(ctx context.Context, do func(*schema.State) error) error {
	s, err := schema.OpenState(ctx, server.StateFile(a.dir))
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}

// userSent is a line of "limit list".
type userSent struct {
	User      string `json:"user"`
	Hour      int    `json:"hour"`
	HourLimit int    `json:"hour_limit"`
	Day       int    `json:"day"`
	DayLimit  int    `json:"day_limit"`
	Messages  int    `json:"messages"`
	Refused   int    `json:"refused"`
}

func limitList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			src, err := config.New(m)
			if err != nil {
				return err
			}
			c, err := config.Of[policy.Config](src)(ctx)
			if err != nil {
				return err
			}
			own := make(map[string]schema.SendLimit)
			if err := m.EachSendLimit(ctx, func(l schema.SendLimit) error { own[strings.ToLower(l.User)] = l; return nil }); err != nil {
				return err
			}
			return a.withState(ctx, func(s *schema.State) error {
				list, err := s.Senders(ctx, time.Now())
				if err != nil {
					return err
				}
				for _, u := range list {
					if _, ok := own[u.User]; !ok {
						own[u.User] = schema.SendLimit{User: u.User, Hour: -1, Day: -1}
					}
				}
				return a.printLimits(*asJSON, c, list, own)
			})
		})
	}
}

func (a *app) printLimits(asJSON bool, c *policy.Config, list []schema.SentUser, own map[string]schema.SendLimit) error {
	t := a.table(asJSON, "USER", "HOUR", "LIMIT", "DAY", "LIMIT", "MESSAGES", "REFUSED")
	of := func(n, setting int) int {
		if n < 0 {
			return setting
		}
		return n
	}
	shown := func(n int) string {
		if n == 0 {
			return "none"
		}
		return fmt.Sprint(n)
	}
	row := func(u schema.SentUser) error {
		l := own[strings.ToLower(u.User)]
		r := userSent{u.User, u.HourRecipients, of(l.Hour, c.UserHour), u.DayRecipients, of(l.Day, c.UserDay), u.DayMessages, u.DayRefused}
		return t.row(r, r.User, r.Hour, shown(r.HourLimit), r.Day, shown(r.DayLimit), r.Messages, r.Refused)
	}
	for _, u := range list {
		if err := row(u); err != nil {
			return t.end(err)
		}
		delete(own, u.User)
	}
	for _, l := range sortedLimits(own) {
		if err := row(schema.SentUser{User: l.User}); err != nil {
			return t.end(err)
		}
	}
	return t.end(nil)
}

func sortedLimits(m map[string]schema.SendLimit) []schema.SendLimit {
	return slices.SortedFunc(maps.Values(m), func(a, b schema.SendLimit) int { return strings.Compare(a.User, b.User) })
}

func limitSet(fs *flag.FlagSet) action {
	hour := fs.Int("hour", -1, "`recipients` within an hour; 0 no limit")
	day := fs.Int("day", -1, "`recipients` within a day; 0 no limit")
	return func(ctx context.Context, a *app, args []string) error {
		given := a.given()
		if given["hour"] == "" && given["day"] == "" || *hour < -1 || *day < -1 {
			return usage("limit set: say --hour or --day, 0 or more")
		}
		return a.change(ctx, func(t *schema.Tx) error {
			return t.SetSendLimit(schema.SendLimit{User: args[0], Hour: *hour, Day: *day})
		})
	}
}

func limitRemove(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.change(ctx, func(t *schema.Tx) error { return t.RemoveSendLimit(args[0]) })
	}
}

func limitReset(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.withState(ctx, func(s *schema.State) error {
			return s.Write(ctx, func(t *schema.Tx) error { return t.ResetSent(args[0]) })
		})
	}
}

func greyList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	clients := fs.Bool("clients", false, "clients that pass for having come back")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withState(ctx, func(s *schema.State) error {
			t := a.table(*asJSON, "CLIENT, SENDER, RECIPIENT", "FIRST", "LAST", "PASSED")
			return t.end(s.Greylist(ctx, *clients, func(r schema.GreyRow) error {
				return t.row(r, r.Key, r.First.Format(time.DateTime), r.Last.Format(time.DateTime), r.Count)
			}))
		})
	}
}

func greyForget(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.forget(ctx, args[0], func(t *schema.Tx, text string) (int64, error) { return t.ForgetGrey(text) })
	}
}

// forget drops what a text names, or with ALL everything, and says how much.
func (a *app) forget(ctx context.Context, text string, drop func(*schema.Tx, string) (int64, error)) error {
	if text = strings.ToLower(text); text == "all" {
		text = ""
	}
	return a.withState(ctx, func(s *schema.State) error {
		var n int64
		err := s.Write(ctx, func(t *schema.Tx) (err error) {
			n, err = drop(t, text)
			return err
		})
		if err == nil {
			_, err = fmt.Fprintf(a.out, "%d forgotten\n", n)
		}
		return err
	})
}

// verifiedRow is a line of "verification list".
type verifiedRow struct {
	Address string    `json:"address"`
	Status  string    `json:"status"`
	Updated time.Time `json:"updated"`
	Text    string    `json:"text"`
}

func verifyList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withState(ctx, func(s *schema.State) error {
			t := a.table(*asJSON, "ADDRESS", "STATUS", "ASKED", "ANSWER")
			return t.end(s.EachVerified(ctx, func(v schema.Verified) error {
				if len(args) > 0 && !strings.EqualFold(args[0], v.Address) {
					return nil
				}
				r := verifiedRow{v.Address, v.Status.String(), v.Updated, v.Text}
				return t.row(r, r.Address, r.Status, r.Updated.Format(time.DateTime), r.Text)
			}))
		})
	}
}

func verifyForget(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.forget(ctx, args[0], func(t *schema.Tx, text string) (int64, error) { return t.VerifyDrop(text) })
	}
}
