-- +goose Up

-- What identity providers pushed by SCIM, as they said it last: they are answered from it. Who is a member of a group is
-- in source_members, and what it means for each person in posted.
CREATE TABLE pushed (
    org      keytext NOT NULL,
    source   keytext NOT NULL,
    kind     keytext NOT NULL, -- user or group
    id       keytext NOT NULL, -- of a user, the person's key; of a group, the group's
    name     keytext NOT NULL, -- userName or displayName, in the form in which they compare
    external keytext NOT NULL,
    body     TEXT    NOT NULL, -- JSON
    created  BIGINT  NOT NULL,
    modified BIGINT  NOT NULL,
    entry    BIGINT  NOT NULL DEFAULT 0, -- as in migration 11
    PRIMARY KEY (org, source, kind, id)
);
CREATE UNIQUE INDEX pushed_by_name ON pushed (name, kind, source, org);
CREATE INDEX pushed_by_external ON pushed (external, kind, source, org);

-- +goose Down
DROP TABLE pushed;
