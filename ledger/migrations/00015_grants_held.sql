-- +goose Up

-- What somebody was granted, by when it ends: limits ask for what is near in time, whatever was asked for since.
CREATE INDEX grants_held ON grants (org, person, until) WHERE until > since;

-- +goose Down
DROP INDEX grants_held;
