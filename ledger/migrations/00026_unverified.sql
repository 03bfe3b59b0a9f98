-- +goose Up

-- Changes that were made and that no later read has shown: for records, these are asked about again.
CREATE INDEX lines_unverified ON lines (org, target, at) WHERE state = 'done' AND verified = 0;

-- +goose Down
DROP INDEX lines_unverified;
