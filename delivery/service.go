package delivery

import (
	"context"
	"io"
	"log/slog"
	"time"

	"mailserver/delivery/local"
	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/delivery/route"
	"mailserver/internal/maillog"
	"mailserver/storage"
)

// Service takes messages and runs the queue. Safe for concurrent use.
type Service struct {
	d        Deps
	queue    *queue.Queue
	smtp     *remote.Client
	keys     keyring
	compiled checkCache
}

// New opens the spool below d.Dir.
func New(d Deps) (*Service, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	s := &Service{d: d}
	s.smtp = remote.New(remote.Deps{Config: d.RemoteConfig, Resolver: d.Resolver, STS: d.STS, TLSResult: d.TLSResult, Dial: d.Dial, Log: d.Log, Now: d.Now})
	q, err := queue.Open(queue.Deps{Dir: d.Dir, State: d.State, Config: d.QueueConfig, Log: d.Log, Now: d.Now, Sender: sender{s}})
	if err != nil {
		return nil, err
	}
	s.queue = q
	return s, nil
}

// Queue is the queue of the service.
func (s *Service) Queue() *queue.Queue { return s.queue }

// Run works the queue until ctx ends. Messages are taken before and after,
// too; what they leave in the queue waits for the next Run.
func (s *Service) Run(ctx context.Context) error {
	defer s.smtp.Close()
	return s.queue.Run(ctx)
}

func (s *Service) now() time.Time { return s.d.Now() }

// mailboxes delivers to mailboxes here and sets the result of each stop.
func (s *Service) mailboxes(ctx context.Context, t *transit, stops []*stop) {
	boxes := make([]local.Box, len(stops))
	for i, st := range stops {
		boxes[i] = box(&st.Destination)
		if st.apart {
			boxes[i].Folder, boxes[i].Create = t.c.Quarantine, true
		}
	}
	begun := s.now()
	errs := local.Deliver(ctx, s.d.Store, &local.Message{
		Sender: t.from.String(), Size: t.Size(), Prepend: t.prepend() + t.reason(), Open: t.open, DeliveredTo: t.head.DeliveredTo,
	}, boxes)
	took := s.now().Sub(begun)
	for i, st := range stops {
		res := s.localResult(t.ID(), &boxes[i], errs[i])
		st.res, st.took = &res, took
	}
}

func box(d *route.Destination) local.Box {
	return local.Box{
		Address: d.Address.String(), Original: d.Original.String(), Folder: d.Box.Folder,
		Spec: storage.Spec{User: d.Box.User, Dir: d.Box.Mail, Home: d.Box.Home, UID: d.Box.UID, GID: d.Box.GID, Quota: d.Box.Quota},
	}
}

// localResult says what became of a mailbox delivery, and logs what only the
// operator should read.
func (s *Service) localResult(id string, b *local.Box, err error) queue.Result {
	res := queue.Result{Tag: maillog.Virtual, Relay: "virtual"}
	switch {
	case err == nil:
		res.Status, res.Enhanced, res.Text = queue.Sent, "2.0.0", "delivered to maildir"
	case isA(err, local.ErrLoop):
		res.Status, res.Enhanced, res.Text = queue.Bounced, "5.4.6", "mail forwarding loop for "+b.Address
	case isA(err, local.ErrFull):
		res.Status, res.Enhanced, res.Text = queue.Bounced, "5.2.2", "Quota exceeded (mailbox for user is full)"
	case isFull(err):
		res.Status, res.Enhanced, res.Text = queue.Deferred, "4.3.1", "Insufficient system storage"
	default:
		res.Status, res.Enhanced, res.Text = queue.Deferred, "4.2.0", "maildir delivery failed"
		if s.d.Log != nil {
			s.d.Log.Error("mailbox delivery failed", slog.String(maillog.QueueID, id),
				slog.String(maillog.Mailbox, b.Spec.User), slog.String(maillog.Err, err.Error()))
		}
	}
	return res
}

// deliverQueued puts a queued message into a mailbox.
func (s *Service) deliverQueued(ctx context.Context, m *queue.Message, d *route.Destination, r *queue.Recipient) queue.Result {
	begun := s.now()
	b := box(d)
	if r.Apart {
		c, err := s.d.Config(ctx)
		if err != nil {
			return s.notNow(m, "read settings", err)
		}
		b.Folder, b.Create = c.Quarantine, true
	}
	err := s.fromQueue(ctx, m, b)
	res := s.localResult(m.ID, &b, err)
	res.Talk = s.now().Sub(begun)
	return res
}

// fromQueue delivers to a mailbox, which alone gets to know why it was taken.
func (s *Service) fromQueue(ctx context.Context, queued *queue.Message, b local.Box) error {
	m := *queued
	m.Prepend += headerLine(m.Reason)
	file, err := s.queue.Text(&m)
	if err != nil {
		return err
	}
	head, err := readHeader(file)
	file.Close()
	if err != nil {
		return err
	}
	text, err := s.queue.Text(&m)
	if err != nil {
		return err
	}
	defer text.Close()
	return local.Deliver(ctx, s.d.Store, &local.Message{
		Sender: m.Sender, Size: m.Size, DeliveredTo: head.DeliveredTo,
		Open: func() (io.Reader, error) { return text, nil },
	}, []local.Box{b})[0]
}
