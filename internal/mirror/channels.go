package mirror

import (
	"net/url"
	"strings"

	"google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/urlpath"
	"pushgate/internal/wire/pb"
)

// maxParts bounds the channels of a post that are looked at; with more, they count as not known.
const maxParts = 1 << 10

// channelsOf returns the channels that a post goes to, as far as its order among others depends on
// them: those of its address, or for a batch those of its messages. It returns nil if it does not
// know them, as for posts of version 5, which name users, too.
func channelsOf(u *url.URL, body []byte) []channel.ID {
	if ofAPI(u) {
		return nil
	}
	query := u.Query()
	if query.Get("binaryMode") == "true" || ofClient(u) {
		return receivers(body)
	}
	list := query.Get("CHANNEL_ID")
	refs, err := channel.Hex.ParseList(list, maxParts)
	if err != nil {
		refs, err = channel.Alphanumeric.ParseList(list, maxParts)
	}
	if err != nil {
		return nil
	}
	return channel.IDs(refs)
}

// ofClient reports whether a post is that of a browser, whose address names the sender.
func ofClient(u *url.URL) bool {
	path := strings.TrimPrefix(u.Path, "/bitrix")
	return urlpath.Within(path, "/rest") || urlpath.Within(path, "/pubweb")
}

// receivers returns the receivers of all messages of a batch, private and public ids alike.
func receivers(body []byte) []channel.ID {
	var batch pb.RequestBatch
	if proto.Unmarshal(body, &batch) != nil {
		return nil
	}
	var ids []channel.ID
	for _, request := range batch.GetRequests() {
		for _, message := range request.GetIncomingMessages().GetMessages() {
			for _, receiver := range message.GetReceivers() {
				if len(receiver.GetId()) != channel.IDLen/2 || len(ids) == maxParts {
					return nil
				}
				ids = append(ids, channel.FromBytes([channel.IDLen / 2]byte(receiver.GetId())))
			}
		}
	}
	return ids
}
