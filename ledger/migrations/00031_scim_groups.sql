-- +goose Up

-- Groups of SCIM directories, as they were last shown or written.
CREATE TABLE scim_groups (
    org       keytext NOT NULL,
    directory keytext NOT NULL,
    id        keytext NOT NULL, -- of the group in the directory: never that of the organization's group
    name      TEXT    NOT NULL,
    digest    TEXT    NOT NULL, -- '': it is to be saved again
    since     BIGINT  NOT NULL, -- when it was first shown
    PRIMARY KEY (org, directory, id)
);

CREATE TABLE scim_members (
    org       keytext NOT NULL,
    directory keytext NOT NULL,
    group_id  keytext NOT NULL,
    record    keytext NOT NULL, -- record id: never an account's
    PRIMARY KEY (org, directory, group_id, record)
);
CREATE INDEX scim_members_by_record ON scim_members (record, directory, org, group_id);

-- Which group of a provision's directory follows a group of an identity source.
CREATE TABLE synced_groups (
    org         keytext NOT NULL,
    provision   keytext NOT NULL,
    source      keytext NOT NULL,
    key         keytext NOT NULL, -- of the source's group
    source_name TEXT    NOT NULL, -- of the source's group when it was bound
    bound       keytext NOT NULL, -- id of the group in the directory
    name        TEXT    NOT NULL, -- of that
    former      keytext NOT NULL, -- id of the group that it replaces and that is to be deleted; '': none
    former_name TEXT    NOT NULL,
    since       BIGINT  NOT NULL,
    by_whom     TEXT    NOT NULL,
    entry       BIGINT  NOT NULL DEFAULT 0, -- as in migration 11
    PRIMARY KEY (org, provision, source, key)
);
CREATE UNIQUE INDEX synced_groups_of ON synced_groups (bound, provision, org);

-- The lines of groups in SCIM directories are written group by group.
CREATE INDEX lines_of_scim_groups ON lines (org, run, target, person)
    WHERE target >= 'scim-group' AND target < 'scim-grouq';

-- +goose Down
DROP INDEX lines_of_scim_groups;
DROP TABLE synced_groups;
DROP TABLE scim_members;
DROP TABLE scim_groups;
