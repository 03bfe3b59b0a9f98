-- +goose Up

-- The people of a batch of links: what its preview showed of them, and what became of them.
CREATE TABLE links (
    org     keytext NOT NULL,
    batch   keytext NOT NULL,
    source  keytext NOT NULL,
    key     keytext NOT NULL,
    run     keytext NOT NULL, -- whose lines the batch is; a batch that is made anew has another
    address TEXT    NOT NULL,
    account TEXT    NOT NULL, -- account id
    record  TEXT    NOT NULL, -- record id; '': none yet
    wave    BIGINT  NOT NULL, -- 0: not begun
    outcome keytext NOT NULL,
    detail  TEXT    NOT NULL,
    shown   TEXT    NOT NULL, -- what must stay as it was, in JSON
    PRIMARY KEY (org, batch, source, key)
);

-- +goose Down
DROP TABLE links;
