-- +goose Up

-- What is known of each group of the organization, in case it is lost: an identity provider that deletes a group deletes
-- it here, with its memberships and app roles.
CREATE TABLE group_records (
    org        keytext  NOT NULL,
    id         keytext  NOT NULL, -- the organization's id
    name       TEXT     NOT NULL,
    name_key   keytext  NOT NULL, -- folded
    synced     SMALLINT NOT NULL,
    directory  TEXT     NOT NULL, -- the SCIM directory that has it; '': none that is known
    scim_id    TEXT     NOT NULL, -- its id there
    scim_asked BIGINT   NOT NULL, -- when the SCIM directories were asked for it; 0: never
    roles      TEXT     NOT NULL, -- in JSON
    roles_read BIGINT   NOT NULL, -- 0: never
    resources  BIGINT   NOT NULL, -- resources on which it has a role, by the group search; -1: unknown
    users      BIGINT   NOT NULL, -- members, when last refreshed
    members    TEXT     NOT NULL, -- digest of the trusted members; '': they were not read yet
    sealed     BIGINT   NOT NULL, -- start of the read that the digest is of
    doubted    BIGINT   NOT NULL, -- members gone since count as members; 0: the members are believed
    changed    SMALLINT NOT NULL, -- members were written since the digest
    refreshed  BIGINT   NOT NULL,
    run        TEXT     NOT NULL,
    lost       BIGINT   NOT NULL, -- 0: it is there
    settled    BIGINT   NOT NULL, -- when its loss was restored or dismissed; 0: not yet
    outcome    TEXT     NOT NULL, -- 'restored', 'dismissed'; '': not yet
    by_whom    TEXT     NOT NULL,
    entry      BIGINT   NOT NULL DEFAULT 0, -- as in migration 11
    PRIMARY KEY (org, id)
);
CREATE INDEX group_records_name ON group_records (org, name_key, id);
CREATE INDEX group_records_lost ON group_records (org, lost, id) WHERE lost > 0;
CREATE INDEX group_records_changed ON group_records (org, id) WHERE changed = 1 OR doubted > 0 AND lost = 0;

-- Who is in them. What a read did not show any more stays for 30 days.
CREATE TABLE group_members (
    org      keytext NOT NULL,
    group_id keytext NOT NULL,
    account  keytext NOT NULL, -- account id
    since    BIGINT  NOT NULL, -- start of the read that showed it first
    gone     BIGINT  NOT NULL, -- start of the read that did not show it any more; 0: a member
    PRIMARY KEY (org, group_id, account)
);
CREATE INDEX group_members_account ON group_members (org, account, group_id);
CREATE INDEX group_members_gone ON group_members (org, gone) WHERE gone > 0;

-- The digest of each person's groups: a read that shows the same writes nothing.
CREATE TABLE group_people (
    org     keytext NOT NULL,
    account keytext NOT NULL,
    digest  TEXT    NOT NULL,
    PRIMARY KEY (org, account)
);

-- +goose Down
DROP TABLE group_people;
DROP TABLE group_members;
DROP TABLE group_records;
