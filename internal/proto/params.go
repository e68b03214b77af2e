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

// UserParams is what one user finds among the params of a message, beside what everybody does: a
// JSON object.
type UserParams struct {
	User   int64
	Params []byte
}

// Errors of [Compose], which say what a portal's message lacks.
var (
	ErrBody       = errors.New("the body is no object")
	ErrUserParams = errors.New("user_params is no object")
	ErrDictionary = errors.New("dictionary is no object")
)

// Compose makes the body that all readers get, and what some get besides, of the three members in
// which version 5 brings a message. Its clients put user_params and then the dictionary into
// body.params, member by member. The dictionary is put there once and for all here, so that readers
// of any dialect have it; user_params cannot be, and give way to it. userParams and dictionary may
// be nil. PHP writes an empty object as a list: a list stands for one.
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
			continue // nobody's, or an empty list: clients pass over it as well
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
	// What is no object cannot be merged into: it becomes one.
	params, _ := ParseObject(message.Get("params"))
	for _, m := range shared {
		params.Set(m.Name, m.Value)
	}
	message.Set("params", params.Append(nil))
	return message.Append(nil), personal, nil
}

// objectOrList reads what is to be an object, if there is anything.
func objectOrList(text json.RawMessage) (Object, bool) {
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) == 0 || text[0] == '[' || string(text) == "null" {
		return nil, true
	}
	return ParseObject(text)
}

// ParamsOf returns the parameters that m has for one user alone, nil for most.
func (m *Message) ParamsOf(user int64) []byte {
	i, found := slices.BinarySearchFunc(m.UserParams, user, func(p UserParams, user int64) int { return cmp.Compare(p.User, user) })
	if !found {
		return nil
	}
	return m.UserParams[i].Params
}

// Size is what m weighs in memory, about: the bytes of its body and of what goes with it.
func (m *Message) Size() int {
	size := len(m.Body)
	for _, p := range m.UserParams {
		size += len(p.Params)
	}
	return size
}
