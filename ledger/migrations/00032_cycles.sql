-- +goose Up

-- Groups of a source that contain each other, as its last complete read names them: lists of names, as JSON; '': none.
ALTER TABLE replicas ADD COLUMN cycles TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE replicas DROP COLUMN cycles;
