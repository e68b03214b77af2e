package proto

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"pushgate/internal/channel"
)

// UserParams are the params of a message that only one user receives, in addition to the params for
// everybody. They are a JSON object.
type UserParams struct {
	User   int64
	Params []byte
}

// Errors of [Compose], which say what is wrong with a portal's message.
var (
	ErrBody       = errors.New("the body is not an object")
	ErrUserParams = errors.New("user_params is not an object")
	ErrDictionary = errors.New("dictionary is not an object")
)

// Compose returns the body that all readers get, and the params that single users get, from the
// three members of a message of version 5. Clients of version 5 copy the members of user_params and
// then those of the dictionary into body.params. Compose copies the dictionary itself, so that
// readers of any dialect have it. It cannot do so for user_params, so it removes from them the
// members that the dictionary would overwrite. userParams and dictionary may be nil. A list counts
// as an empty object, because PHP writes empty objects as lists.
func Compose(body, userParams, dictionary json.RawMessage) ([]byte, []UserParams, error) {
	message, ok := ParseObject(body)
	if !ok {
		return nil, nil, ErrBody
	}
	shared, ok := objectOrList(dictionary)
	if !ok {
		return nil, nil, ErrDictionary
	}
	byUser, ok := objectOrList(userParams)
	if !ok {
		return nil, nil, ErrUserParams
	}
	var personal []UserParams
	for _, m := range byUser {
		user, err := strconv.ParseInt(m.Name, 10, 64)
		own, isObject := ParseObject(m.Value)
		if err != nil || channel.ForUser(user).IsZero() || !isObject {
			continue // not a user, or an empty list: clients ignore it as well
		}
		for _, m := range shared {
			own.Delete(m.Name)
		}
		if len(own) > 0 {
			personal = append(personal, UserParams{user, own.Append(nil)})
		}
	}
	slices.SortFunc(personal, func(a, b UserParams) int { return cmp.Compare(a.User, b.User) })
	if len(shared) == 0 && personal == nil {
		return body, nil, nil
	}
	// Params that are not an object are replaced: nothing can be merged into them.
	params, _ := ParseObject(message.Get("params"))
	for _, m := range shared {
		params.Set(m.Name, m.Value)
	}
	message.Set("params", params.Append(nil))
	return message.Append(nil), personal, nil
}

// objectOrList parses an object. Nothing, null and a list count as an empty one.
func objectOrList(text json.RawMessage) (Object, bool) {
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) == 0 || text[0] == '[' || string(text) == "null" {
		return nil, true
	}
	return ParseObject(text)
}

// ParamsOf returns the params that m has for one user alone, or nil, as for most users.
func (m *Message) ParamsOf(user int64) []byte {
	i, found := slices.BinarySearchFunc(m.UserParams, user, func(p UserParams, user int64) int { return cmp.Compare(p.User, user) })
	if !found {
		return nil
	}
	return m.UserParams[i].Params
}

// Size returns about how much memory m takes, in bytes: its body and the params of single users.
func (m *Message) Size() int {
	size := len(m.Body)
	for _, p := range m.UserParams {
		size += len(p.Params)
	}
	return size
}
