-- +goose Up

-- When a rule's condition may next be answered otherwise for a person by time alone; 0: not in sight.
ALTER TABLE people ADD COLUMN due BIGINT NOT NULL DEFAULT 0;
CREATE INDEX people_due ON people (org, due, id) WHERE due > 0;

-- What the event feed says that somebody else took from people who hold it by Castellan.
CREATE TABLE removal_events (
    org    keytext NOT NULL,
    person keytext NOT NULL,
    what   keytext NOT NULL, -- a group's id, an entitlement, or organization: all that the person held
    at     BIGINT  NOT NULL, -- the last time
    action TEXT    NOT NULL, -- as the feed calls it
    entry  BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (org, person, what)
);

-- +goose Down
DROP TABLE removal_events;
DROP INDEX people_due;
ALTER TABLE people DROP COLUMN due;
