-- +goose Up

-- What sources that post said last of each person: nothing else tells it again, so the chain has to explain it. The
-- person is in identities, and the groups that were named in source_members.
CREATE TABLE posted (
    org     keytext NOT NULL,
    source  keytext NOT NULL,
    key     keytext NOT NULL,
    at      BIGINT  NOT NULL, -- when it was so, as the source says
    message TEXT    NOT NULL, -- the id of what said so; '': it had none
    digest  TEXT    NOT NULL, -- of the person's address, attributes, groups, and whether they are enabled
    entry   BIGINT  NOT NULL DEFAULT 0, -- as in migration 11
    PRIMARY KEY (org, source, key)
);

-- Of sources that post: when something was last accepted, and what was refused.
ALTER TABLE replicas ADD COLUMN posted_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE replicas ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE replicas ADD COLUMN refused_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE replicas ADD COLUMN refused_code TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE replicas DROP COLUMN refused_code;
ALTER TABLE replicas DROP COLUMN refused_at;
ALTER TABLE replicas DROP COLUMN refused;
ALTER TABLE replicas DROP COLUMN posted_at;
DROP TABLE posted;
