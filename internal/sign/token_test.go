package sign_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

const tokenHeader = `{"typ":"JWT","alg":"HS256"}`

var tokenNow = time.Unix(1795226210, 0)

// forge returns a JWT with any header and claims, signed with key.
func forge(newHash func() hash.Hash, key, header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(newHash, []byte(key))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestTokens(t *testing.T) {
	for _, c := range vectors.Load(t).JWTs {
		// The algorithm of channel ids does not matter.
		for _, algorithm := range []string{"sha1", "md5", "sha512"} {
			signer := newSigner(t, algorithm, c.Key)
			now := time.Unix(c.Claims.Issued, 0)
			got, err := signer.ParseToken(c.Token, c.Claims.Issuer, now)
			if err != nil {
				t.Fatal(err)
			}
			want := sign.Token{Expires: time.Unix(c.Claims.Expires, 0)}
			if c.Claims.Subject != "" {
				fmt.Sscan(c.Claims.Subject, &want.User)
			}
			for text := range strings.SplitSeq(c.Claims.Channels, ",") {
				want.Channels = append(want.Channels, testkit.ParseChannel(text))
			}
			if diff := testkit.Diff(want, got); diff != "" {
				t.Errorf("token:\n%s", diff)
			}
			if again, err := signer.ParseToken(signer.SignToken(got, c.Claims.Issuer, now), c.Claims.Issuer, now); err != nil ||
				!testkit.Equal(again, got) {
				t.Errorf("a token of our own: %v, %v", again, err)
			}
			// Not the last letter, of which some bits are unused.
			for i := strings.LastIndexByte(c.Token, '.') + 1; i < len(c.Token)-1; i++ {
				forged := c.Token[:i] + string("BA"[min(1, int(c.Token[i]^'B'))]) + c.Token[i+1:]
				if forged == c.Token {
					continue
				}
				if _, err := signer.ParseToken(forged, "", now); !errors.Is(err, sign.ErrToken) {
					t.Fatalf("letter %d of the signature changed: %v", i, err)
				}
			}
		}
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	const key = "a key of the tests"
	signer, err := sign.New("sha1", []byte("another key"), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	good := `{"iss":"host","exp":1795226211,"sub":"5","chan":"` + hexID + `"}`
	accepted := map[string]string{
		"as it should be":         good,
		"a user alone":            `{"iss":"host","exp":1795226211,"sub":"5"}`,
		"a channel alone":         `{"iss":"host","exp":1795226211,"chan":"` + hexID + `"}`,
		"user 0 and a channel":    `{"iss":"host","exp":1795226211,"sub":"0","chan":"` + hexID + `"}`,
		"a channel of many cases": `{"iss":"host","exp":1795226211,"chan":"` + oldID + `"}`,
		"issued in the future":    `{"iss":"host","exp":1795226211,"iat":1795226999,"sub":"5"}`,
	}
	for name, claims := range accepted {
		if _, err := signer.ParseToken(forge(sha256.New, key, tokenHeader, claims), "host", tokenNow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	type bad struct {
		token, issuer string
		want          error
	}
	with := func(claims string) string { return forge(sha256.New, key, tokenHeader, claims) }
	for name, c := range map[string]bad{
		"empty":              {"", "", jwt.ErrTokenMalformed},
		"not three parts":    {"a.b", "", jwt.ErrTokenMalformed},
		"no signature":       {strings.TrimRight(with(good), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), "", jwt.ErrTokenSignatureInvalid},
		"another's key":      {forge(sha256.New, "a third key", tokenHeader, good), "", jwt.ErrTokenSignatureInvalid},
		"alg none":           {forge(sha256.New, key, `{"typ":"JWT","alg":"none"}`, good), "", jwt.ErrTokenSignatureInvalid},
		"alg None":           {forge(sha256.New, key, `{"typ":"JWT","alg":"None"}`, good), "", jwt.ErrTokenUnverifiable},
		"no alg":             {forge(sha256.New, key, `{"typ":"JWT"}`, good), "", jwt.ErrTokenUnverifiable},
		"HS512, well signed": {forge(sha512.New, key, `{"typ":"JWT","alg":"HS512"}`, good), "", jwt.ErrTokenSignatureInvalid},
		"RS256":              {forge(sha256.New, key, `{"typ":"JWT","alg":"RS256"}`, good), "", jwt.ErrTokenSignatureInvalid},
		"another issuer":     {with(good), "hos", jwt.ErrTokenInvalidIssuer},
		"no issuer":          {with(`{"exp":1795226211,"sub":"5"}`), "host", jwt.ErrTokenRequiredClaimMissing},
		"no expiry":          {with(`{"iss":"host","sub":"5"}`), "host", jwt.ErrTokenRequiredClaimMissing},
		"expiry null":        {with(`{"iss":"host","sub":"5","exp":null}`), "host", jwt.ErrTokenRequiredClaimMissing},
		"expiry a string":    {with(`{"iss":"host","sub":"5","exp":"soon"}`), "host", jwt.ErrTokenMalformed},
		"expired":            {with(`{"iss":"host","sub":"5","exp":1795226210}`), "host", jwt.ErrTokenExpired},
		"expiry of no sense": {with(`{"iss":"host","sub":"5","exp":1e300}`), "host", sign.ErrToken},
		"expiry too late":    {with(`{"iss":"host","sub":"5","exp":1e12}`), "host", sign.ErrToken},
		"not yet valid":      {with(`{"iss":"host","sub":"5","exp":1795226299,"nbf":1795226250}`), "host", jwt.ErrTokenNotValidYet},
		"nobody":             {with(`{"iss":"host","exp":1795226211}`), "host", channel.ErrNoID},
		"user 0":             {with(`{"iss":"host","exp":1795226211,"sub":"0"}`), "host", channel.ErrNoID},
		"a negative user":    {with(`{"iss":"host","exp":1795226211,"sub":"-5"}`), "host", sign.ErrToken},
		"a named user":       {with(`{"iss":"host","exp":1795226211,"sub":"admin"}`), "host", sign.ErrToken},
		"a user too large":   {with(`{"iss":"host","exp":1795226211,"sub":"9223372036854775808"}`), "host", sign.ErrToken},
		"a bad channel":      {with(`{"iss":"host","exp":1795226211,"sub":"5","chan":"x"}`), "host", channel.ErrMalformed},
		"a reserved channel": {with(`{"iss":"host","exp":1795226211,"sub":"5","chan":"` + channel.ForUser(6).String() + `"}`), "host", channel.ErrMalformed},
		"an empty channel":   {with(`{"iss":"host","exp":1795226211,"sub":"5","chan":"` + hexID + `,"}`), "host", channel.ErrMalformed},
		"channels as a list": {with(`{"iss":"host","exp":1795226211,"sub":"5","chan":["` + hexID + `"]}`), "host", jwt.ErrTokenMalformed},
		"many channels":      {with(`{"iss":"host","exp":1795226211,"chan":"` + strings.Repeat(hexID+",", 100) + hexID + `"}`), "host", channel.ErrTooMany},
		"long":               {with(`{"iss":"` + strings.Repeat("h", 8<<10) + `","exp":1795226211,"sub":"5"}`), "", sign.ErrToken},
	} {
		got, err := signer.ParseToken(c.token, c.issuer, tokenNow)
		if !errors.Is(err, sign.ErrToken) || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if got.User != 0 || got.Channels != nil || !got.Expires.IsZero() {
			t.Errorf("%s: returns %v beside the error", name, got)
		}
		if err != nil && (strings.Contains(err.Error(), "host") || strings.Contains(err.Error(), hexID)) {
			t.Errorf("%s: the error quotes the token: %v", name, err)
		}
	}
}

// FuzzParseToken: for any signed claims, an accepted token names a user or channels within the
// limits, and parses to the same value after it is signed again.
func FuzzParseToken(f *testing.F) {
	const key = "a key of the tests"
	signer := newSigner(f, "sha1", key)
	for _, c := range vectors.Load(f).JWTs {
		f.Add(c.Header, strings.Split(c.Token, ".")[1], c.Token)
	}
	f.Add(tokenHeader, `{"exp":1e300,"sub":"5"}`, "..")
	f.Add(tokenHeader, `{"exp":9999999999.75,"sub":"5","chan":"`+hexID+`"}`, "a.b.c")
	f.Fuzz(func(t *testing.T, header, claims, token string) {
		for _, text := range []string{forge(sha256.New, key, header, claims), token} {
			got, err := signer.ParseToken(text, "", tokenNow)
			if err != nil {
				if !errors.Is(err, sign.ErrToken) || got.User != 0 || got.Channels != nil {
					t.Errorf("%v, %v", got, err)
				}
				continue
			}
			if got.User < 0 || got.User == 0 && len(got.Channels) == 0 || len(got.Channels) > 100 || !got.Expires.After(tokenNow) {
				t.Errorf("accepted: %v", got)
			}
			got.Expires = got.Expires.Truncate(time.Second)
			again, err := signer.ParseToken(signer.SignToken(got, "", tokenNow), "", tokenNow.Add(-time.Second))
			if err != nil || again.User != got.User || len(again.Channels) != len(got.Channels) || !again.Expires.Equal(got.Expires) {
				t.Errorf("read again as %v, %v; was %v", again, err, got)
			}
		}
	})
}
