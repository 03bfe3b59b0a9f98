package account

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// Token is an API token of an account. Its secret is shown to nobody.
type Token struct {
	ID         string
	Label      string
	Created    time.Time // zero: not known, like the others
	LastAccess time.Time // zero: never, or not known
	Expiry     time.Time
}

type tokenItem struct{ ID, Label, CreatedAt, LastAccess, Expiry string }

func (i tokenItem) token() Token {
	return Token{ID: i.ID, Label: i.Label, Created: instant(i.CreatedAt), LastAccess: instant(i.LastAccess),
		Expiry: instant(i.Expiry)}
}

func instant(text string) time.Time {
	at, _ := time.Parse(time.RFC3339Nano, text) // zero if it is no time
	return at
}

// Tokens lists all API tokens of an account. The list has no pages.
func (c *Client) Tokens(ctx context.Context, accountID string) ([]Token, error) {
	var tokens []Token
	err := c.do(ctx, call{
		operation: "list account tokens", method: http.MethodGet, account: accountID, parts: []string{"api-tokens"},
		decode: func(body io.Reader) error {
			return wire.EachItem(json.NewDecoder(body), func(item tokenItem) error {
				if item.ID == "" {
					return errors.New("a token has no id")
				}
				tokens = append(tokens, item.token())
				return nil
			})
		},
	})
	if err != nil {
		return nil, err // never part of the list
	}
	return tokens, nil
}

// DeleteToken deletes an API token: what uses it is refused from then on. ErrNotFound if there is none any more.
func (w Writer) DeleteToken(ctx context.Context, accountID, token string) error {
	return w.do(ctx, call{operation: "delete account token", method: http.MethodDelete, account: accountID,
		parts: []string{"api-tokens", token}, write: true})
}
