-- One set of statements for SQLite and PostgreSQL; how values are kept stands in migration 2.

-- +goose Up

-- Since when full verifications have found a source group suspect.
ALTER TABLE source_counts ADD COLUMN suspect BIGINT NOT NULL DEFAULT 0;

-- When a read last showed a person, and since when reads have not, while they hold something.
ALTER TABLE people ADD COLUMN seen BIGINT NOT NULL DEFAULT 0;
ALTER TABLE people ADD COLUMN missing BIGINT NOT NULL DEFAULT 0;

-- What a page did not show and nothing will write: memberships on the books, and what grants gave.
ALTER TABLE pages ADD COLUMN unseen TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE pages DROP COLUMN unseen;
ALTER TABLE people DROP COLUMN missing;
ALTER TABLE people DROP COLUMN seen;
ALTER TABLE source_counts DROP COLUMN suspect;
