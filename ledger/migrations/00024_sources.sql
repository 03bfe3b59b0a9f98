-- +goose Up

-- Indexes begin with what they are asked for, or are partial: of those that begin with the same columns, PostgreSQL takes
-- any while it has counted nothing.

-- What is known of the replica of an identity source, or of a SCIM directory, as a whole. Reads are numbered.
CREATE TABLE replicas (
    org          keytext NOT NULL,
    kind         keytext NOT NULL, -- source or directory
    name         keytext NOT NULL, -- of a directory: its id
    begun        BIGINT  NOT NULL DEFAULT 0, -- number of the newest read
    begun_at     BIGINT  NOT NULL DEFAULT 0,
    read         BIGINT  NOT NULL DEFAULT 0, -- number of the last complete read; 0: there was none
    read_at      BIGINT  NOT NULL DEFAULT 0,
    as_whom      TEXT    NOT NULL DEFAULT '', -- who read what, as the proof says
    people       BIGINT  NOT NULL DEFAULT 0, -- what it showed; of a directory: records
    group_count  BIGINT  NOT NULL DEFAULT 0,
    memberships  BIGINT  NOT NULL DEFAULT 0,
    good_read    BIGINT  NOT NULL DEFAULT 0, -- the last complete read that was not suspect, or was accepted
    good_as      TEXT    NOT NULL DEFAULT '',
    good_people  BIGINT  NOT NULL DEFAULT 0,
    suspect      TEXT    NOT NULL DEFAULT '', -- why nothing is concluded; '': it is
    problem_kind TEXT    NOT NULL DEFAULT '', -- why the newest read failed
    problem      TEXT    NOT NULL DEFAULT '',
    failing      BIGINT  NOT NULL DEFAULT 0, -- since when reads have failed
    change       BIGINT  NOT NULL DEFAULT 0, -- number of the last change that concerned somebody
    changed      BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (org, kind, name)
);

-- People in sources. A mark of being missing counts from the end of the read with its number.
CREATE TABLE identities (
    org          keytext  NOT NULL,
    source       keytext  NOT NULL,
    key          keytext  NOT NULL,
    address      TEXT     NOT NULL,
    address_key  keytext  NOT NULL, -- the address in the form in which they compare
    enabled      SMALLINT, -- NULL: the source does not say
    in_scope     SMALLINT, -- NULL: not known
    attributes   TEXT     NOT NULL,
    digest       TEXT     NOT NULL,
    state        keytext  NOT NULL,
    since        BIGINT   NOT NULL, -- when state, enabled and in_scope were last others
    missing_read BIGINT   NOT NULL DEFAULT 0,
    change       BIGINT   NOT NULL DEFAULT 0, -- the last change that concerned the person
    PRIMARY KEY (org, source, key)
);
CREATE INDEX identities_by_address ON identities (address_key, org);
CREATE INDEX identities_by_state ON identities (state, org, source, key);
CREATE INDEX identities_by_change ON identities (org, source, change) WHERE change > 0;

CREATE TABLE source_groups (
    org          keytext NOT NULL,
    source       keytext NOT NULL,
    key          keytext NOT NULL,
    name         TEXT    NOT NULL,
    digest       TEXT    NOT NULL, -- '': its members are to be saved again
    missing_read BIGINT  NOT NULL DEFAULT 0,
    missing_at   BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (org, source, key)
);

CREATE TABLE source_members (
    org          keytext NOT NULL,
    source       keytext NOT NULL,
    group_key    keytext NOT NULL,
    member       keytext NOT NULL,
    missing_read BIGINT  NOT NULL DEFAULT 0,
    missing_at   BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (org, source, group_key, member)
);
CREATE INDEX source_members_by_member ON source_members (member, source, org, group_key);
CREATE INDEX source_members_missing ON source_members (org, source, missing_read) WHERE missing_read > 0;

-- Which account an identity is (provision ''), or which record in the directory of a provision.
CREATE TABLE bindings (
    org       keytext NOT NULL,
    provision keytext NOT NULL,
    source    keytext NOT NULL,
    key       keytext NOT NULL,
    bound     keytext NOT NULL, -- account id, or record id
    account   keytext NOT NULL, -- account id; that of a record as last seen
    address   TEXT    NOT NULL, -- by which it was found; '': otherwise
    since     BIGINT  NOT NULL,
    by_whom   TEXT    NOT NULL,
    entry     BIGINT  NOT NULL DEFAULT 0, -- as in migration 11
    PRIMARY KEY (org, provision, source, key)
);
CREATE UNIQUE INDEX bindings_of ON bindings (bound, provision, org, source);

-- People in SCIM directories.
CREATE TABLE records (
    org          keytext  NOT NULL,
    directory    keytext  NOT NULL,
    id           keytext  NOT NULL,
    account      keytext  NOT NULL, -- account id; '': it is linked to none
    external_id  keytext  NOT NULL,
    active       SMALLINT NOT NULL,
    address      TEXT     NOT NULL,
    address_key  keytext  NOT NULL,
    attributes   TEXT     NOT NULL,
    modified     BIGINT   NOT NULL,
    digest       TEXT     NOT NULL,
    state        keytext  NOT NULL,
    since        BIGINT   NOT NULL,
    missing_read BIGINT   NOT NULL DEFAULT 0,
    PRIMARY KEY (org, directory, id)
);
CREATE INDEX records_by_account ON records (account, directory, org);
CREATE INDEX records_by_external ON records (external_id, directory, org);
CREATE INDEX records_by_address ON records (address_key, directory, org);
CREATE INDEX records_by_state ON records (state, directory, org, id);

-- What was last decided to be so of each person of a provision.
CREATE TABLE person_states (
    org       keytext NOT NULL,
    provision keytext NOT NULL,
    source    keytext NOT NULL, -- '': a record of nobody's
    key       keytext NOT NULL, -- its id then
    run       keytext NOT NULL,
    state     keytext NOT NULL,
    detail    TEXT    NOT NULL,
    account   TEXT    NOT NULL,
    record    TEXT    NOT NULL,
    PRIMARY KEY (org, provision, source, key)
);
CREATE INDEX person_states_by_state ON person_states (state, provision, org, source, key);

-- One open hold in each lane; '' is that of access.
ALTER TABLE holds ADD COLUMN lane keytext NOT NULL DEFAULT '';
ALTER TABLE holds ADD COLUMN updates BIGINT NOT NULL DEFAULT 0;
DROP INDEX holds_open;
CREATE UNIQUE INDEX holds_open ON holds (org, lane) WHERE decision = '';

-- The values that a change writes.
ALTER TABLE lines ADD COLUMN edits TEXT NOT NULL DEFAULT '';
ALTER TABLE rejections ADD COLUMN edits TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE rejections DROP COLUMN edits;
ALTER TABLE lines DROP COLUMN edits;
DROP INDEX holds_open;
DELETE FROM holds WHERE lane <> '';
CREATE UNIQUE INDEX holds_open ON holds (org) WHERE decision = '';
ALTER TABLE holds DROP COLUMN updates;
ALTER TABLE holds DROP COLUMN lane;
DROP TABLE person_states;
DROP TABLE records;
DROP TABLE bindings;
DROP TABLE source_members;
DROP TABLE source_groups;
DROP TABLE identities;
DROP TABLE replicas;
