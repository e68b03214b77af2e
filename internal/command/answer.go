package command

import (
	"context"
	"encoding/json"
	"fmt"

	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/tally"
	"pushgate/internal/wire/pb"
)

// answers returns the encoded answers to the questions of a batch that has been checked; nil if
// there are none.
func (x *Executor) answers(ctx context.Context, batch *pb.RequestBatch) ([]byte, error) {
	var reply pb.ResponseBatch
	for _, request := range batch.GetRequests() {
		var response *pb.Response
		var err error
		switch command := request.GetCommand().(type) {
		case *pb.Request_ChannelStats:
			response, err = x.channelStats(ctx, command.ChannelStats.GetChannels())
		case *pb.Request_ServerStats:
			response, err = x.serverStats(ctx)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		reply.Responses = append(reply.Responses, response)
	}
	if len(reply.GetResponses()) == 0 {
		return nil, nil
	}
	return encode(&reply)
}

// Online returns the encoded answer to a question about private channels, in the order of the
// question. The caller must have checked that it may be asked.
func (x *Executor) Online(ctx context.Context, channels []channel.ID) ([]byte, error) {
	list := make([]*pb.ChannelId, len(channels))
	for i, id := range channels {
		raw, _ := id.Bytes()
		list[i] = &pb.ChannelId{Id: raw[:], IsPrivate: true}
	}
	response, err := x.channelStats(ctx, list)
	if err != nil {
		return nil, err
	}
	x.config.Tally.Request(tally.ChannelStats)
	return encode(&pb.ResponseBatch{Responses: []*pb.Response{response}})
}

// channelStats answers in the order of the question: senders rely on it.
func (x *Executor) channelStats(ctx context.Context, list []*pb.ChannelId) (*pb.Response, error) {
	ids := make([]channel.ID, len(list))
	for i, asked := range list {
		if ids[i] = idOf(asked); !asked.GetIsPrivate() {
			ids[i] = channel.ForPublic(ids[i])
		}
	}
	sessions, err := x.log.Online(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("query which of %d channels are online: %w", len(ids), err)
	}
	stats := new(pb.ChannelStatsResponse)
	for i, asked := range list {
		stats.Channels = append(stats.Channels, &pb.ChannelStats{Id: asked.GetId(), IsPrivate: asked.GetIsPrivate(), IsOnline: sessions[i] > 0})
	}
	return &pb.Response{Command: &pb.Response_ChannelStats{ChannelStats: stats}}, nil
}

func (x *Executor) serverStats(ctx context.Context) (*pb.Response, error) {
	processes, err := x.stats.Processes(ctx)
	if err != nil {
		return nil, fmt.Errorf("query the processes' statistics: %w", err)
	}
	text := []byte("[]")
	if len(processes) > 0 {
		if text, err = json.Marshal(processes); err != nil {
			return nil, fmt.Errorf("encode the processes' statistics: %w", err)
		}
	}
	return &pb.Response{Command: &pb.Response_ServerStats{ServerStats: &pb.JsonResponse{Json: string(text)}}}, nil
}

func encode(reply *pb.ResponseBatch) ([]byte, error) {
	b, err := protobuf.Marshal(reply)
	if err != nil {
		return nil, fmt.Errorf("encode a reply: %w", err)
	}
	return b, nil
}
