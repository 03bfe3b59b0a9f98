-- +goose Up

-- Groups at Atlassian that follow groups of identity sources, by their ids.
CREATE TABLE group_links (
    org       keytext NOT NULL,
    source    keytext NOT NULL,
    key       keytext NOT NULL, -- of the source's group
    name      TEXT    NOT NULL, -- of the source's group, when they were linked
    group_id  keytext NOT NULL, -- at Atlassian
    since     BIGINT  NOT NULL,
    by_whom   TEXT    NOT NULL, -- '': the two had the same members, or Castellan made the group
    entry     BIGINT  NOT NULL DEFAULT 0, -- as in migration 11
    PRIMARY KEY (org, source, key)
);
CREATE UNIQUE INDEX group_links_of ON group_links (group_id, org);

-- Differences between a group of a source and its counterpart at Atlassian, as the last full verification found them,
-- and what a person decided about exactly that difference.
CREATE TABLE group_conflicts (
    org        keytext NOT NULL,
    source     keytext NOT NULL,
    key        keytext NOT NULL,
    group_id   keytext NOT NULL,
    hash       keytext NOT NULL, -- over both ids, everybody who is missing or extra, and what the group opens
    source_name TEXT   NOT NULL,
    group_name TEXT    NOT NULL,
    policy_entry TEXT  NOT NULL, -- of the policy's groups; '': none, the names are just equal
    kind       TEXT    NOT NULL, -- what that entry wants: local or synced
    fit        SMALLINT NOT NULL, -- whether accepting is possible
    linked     SMALLINT NOT NULL,
    missing    BIGINT  NOT NULL, -- people who are in the source's group and not at Atlassian
    extra      BIGINT  NOT NULL, -- the other way round
    opens      TEXT    NOT NULL, -- what the group opens at Atlassian, in JSON
    run        keytext NOT NULL, -- that found it, and has the people
    since      BIGINT  NOT NULL, -- when a run found exactly this difference first
    decision   keytext NOT NULL DEFAULT '', -- accepted, rejected; '': open
    by_whom    TEXT    NOT NULL DEFAULT '',
    note       TEXT    NOT NULL DEFAULT '',
    decided    BIGINT  NOT NULL DEFAULT 0,
    entry      BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (org, source, key, group_id)
);

-- Who is in one of two groups and not in the other, by the run that saw it.
CREATE TABLE group_differences (
    org       keytext  NOT NULL,
    run       keytext  NOT NULL,
    page      keytext  NOT NULL,
    source    keytext  NOT NULL,
    key       keytext  NOT NULL,
    group_id  keytext  NOT NULL,
    person    keytext  NOT NULL, -- account id
    missing   SMALLINT NOT NULL, -- in the source's group, not at Atlassian
    PRIMARY KEY (org, run, source, key, group_id, missing, person)
);
CREATE INDEX group_differences_by_page ON group_differences (page, run, org);

-- Memberships that somebody else made and that a person decided to have follow the source: they may be removed.
CREATE TABLE group_accepted (
    org       keytext NOT NULL,
    person    keytext NOT NULL,
    group_id  keytext NOT NULL,
    hash      keytext NOT NULL, -- of the conflict that was accepted
    since     BIGINT  NOT NULL,
    entry     BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (org, person, group_id)
);
CREATE INDEX group_accepted_of ON group_accepted (group_id, org, person);

-- +goose Down
DROP TABLE group_accepted;
DROP TABLE group_differences;
DROP TABLE group_conflicts;
DROP TABLE group_links;
