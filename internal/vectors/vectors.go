// Package vectors holds the protocol's test vectors, typed, for the tests of any package.
package vectors

import (
	_ "embed"
	"encoding/json"
	"strings"
	"testing"
)

//go:embed vectors.json
var raw []byte

// Vectors holds the vectors of the dialects that this service speaks.
type Vectors struct {
	Signatures        []Signature        `json:"signatures"`
	Parsing           Parsing            `json:"channel_id_parsing"`
	RequestSignatures []RequestSignature `json:"request_signatures"`
	Protobuf          struct {
		Cases []Protobuf `json:"cases"`
	} `json:"protobuf"`
	TextFrames  []TextFrame  `json:"text_frames"`
	MIDs        []MID        `json:"mid"`
	HTTP        []HTTP       `json:"http"`
	Closes      []Close      `json:"websocket_close"`
	ConnectURLs []ConnectURL `json:"connect_urls"`
	JWTs        []JWT        `json:"jwt"`
	JSONRPC     []JSONRPC    `json:"jsonrpc"`
}

// Signature is one string and its HMACs by one key.
type Signature struct {
	KeyName   string `json:"key_name"`
	Key       string `json:"key"`
	Signed    string `json:"signed_string"`
	SHA1      string `json:"hmac_sha1"`
	SHA256    string `json:"hmac_sha256"`
	MD5       string `json:"hmac_md5"`
	ChannelID string `json:"CHANNEL_ID"` // the part of a list, signed by sha1
}

// Parsing holds the channel lists of both grammars.
type Parsing struct {
	Generation1 struct {
		Key   string     `json:"key"`
		Algo  string     `json:"algo"`
		Cases []OldParse `json:"cases"`
	} `json:"generation1"`
	Generation2 struct {
		Key   string  `json:"key"`
		Algo  string  `json:"algo"`
		Cases []Parse `json:"cases"`
	} `json:"generation2"`
}

// Parse is a channel list of the second generation.
type Parse struct {
	Description string `json:"description"`
	ChannelID   string `json:"CHANNEL_ID"`
	Encoded     string `json:"url_encoded"`
	Subscribe   []Part `json:"subscribe_result"`
	Outcome     string `json:"subscribe_outcome"`
	PublishText []Part `json:"publish_text_result"` // empty if the list is refused
}

// Accepted reports whether the list may subscribe.
func (p Parse) Accepted() bool { return p.Outcome == "accepted" }

// Part is what one part of a list names.
type Part struct {
	Private string `json:"private"`
	Public  string `json:"public"`
}

// OldParse is a channel list of the first generation.
type OldParse struct {
	Description string    `json:"description"`
	ChannelID   string    `json:"CHANNEL_ID"`
	Subscribe   OldResult `json:"subscribe"`
	Publish     OldResult `json:"publish_skip_signature"`
}

// OldResult is the channels of a list, or the refusal.
type OldResult struct {
	Channels    []string `json:"channels"`
	ErrorStatus int      `json:"error_status"`
	ErrorBody   string   `json:"error_body"`
}

// RequestSignature is the signature of a request: of Body, or of BodyHex, or of Text.
type RequestSignature struct {
	What      string `json:"what"`
	Key       string `json:"key"`
	Text      string `json:"signed"`
	Body      string `json:"body"`
	BodyHex   string `json:"body_hex"`
	Signature string `json:"signature"` // empty in the case that derives a key instead
}

// Protobuf is a batch of the binary dialect and what it says.
type Protobuf struct {
	Name     string          `json:"name"`
	Message  string          `json:"message"` // RequestBatch or ResponseBatch
	Hex      string          `json:"hex"`
	JSON     json.RawMessage `json:"json"`     // bytes have names that end with _hex
	Expected string          `json:"expected"` // "error CODE TEXT", or empty
}

// TextFrame is a message and its text record.
type TextFrame struct {
	MID       string   `json:"mid"`
	Channels  []string `json:"channels"`
	CreatedMS int64    `json:"created_ms"`
	Body      string   `json:"body"`
	Frame     string   `json:"frame"`
}

// MID is a value of the mid parameter; a null is the empty string.
type MID struct {
	MID       string  `json:"mid"`
	Accepted  bool    `json:"accepted"`
	Packed    string  `json:"bytes_hex_generation2"`
	NumericID *uint64 `json:"numeric_id_in_text_frame"`
}

// HTTP is a description of a request, and its answer. Generation is the server generation whose
// texts the answer has.
type HTTP struct {
	Generation int               `json:"gen"`
	Request    string            `json:"request"`
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	Shape      string            `json:"body_shape"` // instead of Body, where it varies
}

// Close is a close frame and what it is sent for.
type Close struct {
	Generation int    `json:"gen"`
	Code       int    `json:"code"`
	Reason     string `json:"reason"`
	When       string `json:"when"`
}

// ConnectURL is the query that a client connects with.
type ConnectURL struct {
	Client string `json:"client"`
	Query  string `json:"query"`
}

// JWT is a token of version 5 and what is in it.
type JWT struct {
	Key    string `json:"key"`
	Header string `json:"header"`
	Claims struct {
		Issuer   string `json:"iss"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub"`
		Channels string `json:"chan"`
	} `json:"claims"`
	Token string `json:"token"`
}

// JSONRPC is a frame of version 5 and what comes back. A reply may be followed by a note in
// parentheses.
type JSONRPC struct {
	Direction string   `json:"dir"`
	Frame     string   `json:"frame"`
	Reply     string   `json:"reply"`
	Replies   []string `json:"replies"`
}

// Load returns the vectors. It fails the test if one of the lists is empty: a test without cases
// would pass.
func Load(tb testing.TB) Vectors {
	tb.Helper()
	var v Vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		tb.Fatalf("vectors.json: %v", err)
	}
	for name, n := range map[string]int{
		"signatures": len(v.Signatures), "generation1": len(v.Parsing.Generation1.Cases), "generation2": len(v.Parsing.Generation2.Cases),
		"request_signatures": len(v.RequestSignatures), "protobuf": len(v.Protobuf.Cases), "text_frames": len(v.TextFrames), "mid": len(v.MIDs), "http": len(v.HTTP),
		"websocket_close": len(v.Closes), "connect_urls": len(v.ConnectURLs), "jwt": len(v.JWTs), "jsonrpc": len(v.JSONRPC),
	} {
		if n == 0 {
			tb.Fatalf("vectors.json: no %s", name)
		}
	}
	return v
}

// Answer returns the case whose request in words begins with prefix and whose answer is that of the
// given generation.
func (v Vectors) Answer(tb testing.TB, generation int, prefix string) HTTP {
	tb.Helper()
	for _, c := range v.HTTP {
		if c.Generation == generation && strings.HasPrefix(c.Request, prefix) {
			return c
		}
	}
	tb.Fatalf("vectors.json: no answer of generation %d to %q", generation, prefix)
	return HTTP{}
}
