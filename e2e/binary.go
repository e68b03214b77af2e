package e2e

import (
	"encoding/hex"
	"fmt"
	"net/url"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"pushgate/internal/wire/pb"
)

// Binary is the dialect of the fourth generation.
type Binary struct{}

// Query asks for the dialect.
func (Binary) Query(query url.Values) { query.Set("binaryMode", "true") }

// Frame returns the type of its WebSocket messages.
func (Binary) Frame() websocket.MessageType { return websocket.MessageBinary }

// Records decodes a batch, in which the known clients look for messages, and into the sender of
// each.
func (Binary) Records(payload []byte) ([]Record, error) {
	var batch pb.ResponseBatch
	if err := proto.Unmarshal(payload, &batch); err != nil {
		return nil, err
	}
	var records []Record
	for _, response := range batch.GetResponses() {
		for _, m := range response.GetOutgoingMessages().GetMessages() {
			if m.GetSender() == nil {
				return nil, fmt.Errorf("no sender: %v", m)
			}
			records = append(records, Record{MID: hex.EncodeToString(m.GetId()), Body: m.GetBody()})
		}
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("no messages in %d bytes", len(payload))
	}
	return records, nil
}
