package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// errFailed is JetStream's error code for a message that could not be stored;
// only its text says why.
const errFailed = 10077

// answerWithin bounds one question to the server.
const answerWithin = 10 * time.Second

// isSecond reports whether a write-once stream refused a second message on
// its subject. A full stream has the same code and another text.
func isSecond(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == errFailed &&
		strings.Contains(api.Description, "per subject")
}

// isOvertaken reports whether a write was refused because the sequence that it
// expected is not the last any more.
func isOvertaken(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// message is one stored message.
type message struct {
	subject string
	label   string      // of a fact: its one header
	header  nats.Header // nil where only the label is known
	data    []byte
	seq     uint64
	at      time.Time
}

// lastMessage reads the newest message of one subject. What a replica does
// not have is asked of the leader, so that consent.ErrNotFound is confirmed.
func (s *Store) lastMessage(ctx context.Context, stream, subject string) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	name := s.names.stream(stream)
	reply, err := s.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+name+"."+subject, nil)
	if err != nil {
		return message{}, away(err)
	}
	m, err := direct(reply)
	if replicas == 1 || !errors.Is(err, consent.ErrNotFound) {
		return m, err
	}
	return s.leaderMessage(ctx, name, subject)
}

// leaderMessage is lastMessage at the stream's leader.
func (s *Store) leaderMessage(ctx context.Context, name, subject string) (message, error) {
	ask, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return message{}, err
	}
	reply, err := s.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+name, ask)
	if err != nil {
		return message{}, away(err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Seq    uint64    `json:"seq"`
			Header []byte    `json:"hdrs"`
			Data   []byte    `json:"data"`
			Time   time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return message{}, fmt.Errorf("reading the leader's answer: %w", err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return message{}, consent.ErrNotFound
	case answer.Error != nil:
		return message{}, away(answer.Error)
	case answer.Message == nil:
		return message{}, errors.New("the leader's answer has no message")
	}
	m := message{subject: subject, data: answer.Message.Data, seq: answer.Message.Seq, at: answer.Message.Time}
	if len(answer.Message.Header) > 0 {
		if m.header, err = nats.DecodeHeadersMsg(answer.Message.Header); err != nil {
			return message{}, fmt.Errorf("reading the leader's answer: %w", err)
		}
		m.label = m.header.Get(headerName)
	}
	return m, nil
}

// expunge removes the newest message of a subject with del. The server says of
// one that somebody else has removed that it could not, as for any failure: so
// look whether it is still there.
func (s *Store) expunge(ctx context.Context, stream string, m message, del func(context.Context, uint64) error) error {
	err := del(ctx, m.seq)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	now, err2 := s.leaderMessage(ctx, s.names.stream(stream), m.subject)
	if errors.Is(err2, consent.ErrNotFound) || err2 == nil && now.seq != m.seq {
		return nil
	}
	return err
}

// direct reads the answer to a direct get.
func direct(reply *nats.Msg) (message, error) {
	if status := statusOf(reply); status == "404" {
		return message{}, consent.ErrNotFound
	} else if status != "" {
		return message{}, away(&statusError{status, reply.Header.Get("Description")})
	}
	seq, err := strconv.ParseUint(served(reply, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return message{}, fmt.Errorf("direct get: sequence: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, served(reply, jetstream.TimeStampHeaer))
	if err != nil {
		return message{}, fmt.Errorf("direct get: time: %w", err)
	}
	return message{
		subject: served(reply, jetstream.SubjectHeader),
		label:   reply.Header.Get(headerName), header: reply.Header, data: reply.Data, seq: seq, at: at,
	}, nil
}

// statusOf returns the status of an answer that is no message, else "". A
// message may have been stored with a header of that name; only messages name
// their stream.
func statusOf(reply *nats.Msg) string {
	if served(reply, jetstream.StreamHeader) != "" {
		return ""
	}
	return reply.Header.Get("Status")
}

// served returns the value that the server gave a header when it answered.
// It comes after those that the writer of the message may have put there.
func served(reply *nats.Msg, name string) string {
	if v := reply.Header[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// batchMax is the largest batch that messagesAfter asks for at once.
const batchMax = 1024

// errIncomplete is returned when an answer of a batch was lost on its way:
// the chain must never skip a fact for that.
var errIncomplete = errors.New("the batch arrived incomplete, try again")

// messagesAfter reads up to limit messages of a stream in order, from the
// first whose sequence is above after; fewer only if there are no more.
func (s *Store) messagesAfter(ctx context.Context, stream string, after uint64, limit int) ([]message, error) {
	var out []message
	for more := true; more && len(out) < limit; {
		batch, pending, err := s.batchAfter(ctx, stream, after, min(limit-len(out), batchMax))
		if err != nil {
			return nil, fmt.Errorf("reading messages: %w", err)
		}
		if more = pending && len(batch) > 0; more {
			after = batch[len(batch)-1].seq
		}
		out = append(out, batch...)
	}
	return out, nil
}

// batchAfter reads one batch and reports whether there were more behind it.
func (s *Store) batchAfter(ctx context.Context, stream string, after uint64, limit int) (out []message, more bool, err error) {
	return s.batch(ctx, stream, batchRequest{Seq: after + 1, Batch: limit})
}

// batchRequest asks for messages from a sequence on, or from a time.
type batchRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	Batch     int        `json:"batch"`
}

func (s *Store) batch(ctx context.Context, stream string, from batchRequest) (out []message, more bool, err error) {
	ask, err := json.Marshal(from)
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	inbox, answers := s.nc.NewInbox(), make(chan *nats.Msg, from.Batch+1)
	sub, err := s.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, false, err
	}
	defer sub.Unsubscribe()
	if err := s.nc.PublishRequest("$JS.API.DIRECT.GET."+s.names.full(stream), inbox, ask); err != nil {
		return nil, false, away(err)
	}
	last := "0" // the sequence that every answer names as the one before it
	for {
		var reply *nats.Msg
		select {
		case reply = <-answers:
		case <-ctx.Done():
			return nil, false, away(ctx.Err())
		}
		switch statusOf(reply) {
		case "204": // end of batch
			if served(reply, "Nats-Last-Sequence") != last {
				return nil, false, errIncomplete
			}
			return out, served(reply, "Nats-Num-Pending") != "0", nil
		case "404": // nothing there, or nothing that can be read
			return out, false, nil
		}
		m, err := direct(reply)
		if err != nil {
			return nil, false, err
		}
		if served(reply, "Nats-Last-Sequence") != last || m.seq < from.Seq {
			return nil, false, errIncomplete
		}
		last = served(reply, jetstream.SequenceHeader)
		out = append(out, m)
	}
}
