-- +goose Up

-- The number of the entry of the chain that says how the row is; 0: none does. See recorded.go.
ALTER TABLE organizations ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;
ALTER TABLE holds ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;
ALTER TABLE holdings ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;
ALTER TABLE rules ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;
ALTER TABLE reviews ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;
ALTER TABLE review_items ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;
ALTER TABLE review_events ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;
ALTER TABLE rulings ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;
ALTER TABLE policy_names ADD COLUMN entry BIGINT NOT NULL DEFAULT 0;

-- Under which name each of Atlassian's organizations is served. Where the ledger had two for one, the older has it.
CREATE TABLE served (
    id    keytext NOT NULL PRIMARY KEY, -- Atlassian's id in lower case
    org   keytext NOT NULL,
    since BIGINT  NOT NULL,
    entry BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX served_by_org ON served (org, id);
INSERT INTO served (id, org, since)
    SELECT id, org, since FROM (
        SELECT LOWER(o.org_id) AS id, o.org AS org, COALESCE(e.at, o.policy_at) AS since,
            ROW_NUMBER() OVER (PARTITION BY LOWER(o.org_id) ORDER BY COALESCE(e.at, o.policy_at), o.org) AS place
        FROM organizations o LEFT JOIN entries e ON e.org = o.org AND e.seq = 1
        WHERE o.org_id <> '') AS names
    WHERE place = 1;

-- Which ledger this is, and which Temporal namespace it belongs to: one row, once it is known.
CREATE TABLE identity (
    one          SMALLINT NOT NULL PRIMARY KEY,
    ledger       TEXT     NOT NULL,
    namespace    TEXT     NOT NULL, -- '' until a worker ties it to one
    namespace_id TEXT     NOT NULL  -- '' where Temporal does not say it
);

-- +goose Down
DROP TABLE identity;
DROP TABLE served;
ALTER TABLE policy_names DROP COLUMN entry;
ALTER TABLE rulings DROP COLUMN entry;
ALTER TABLE review_events DROP COLUMN entry;
ALTER TABLE review_items DROP COLUMN entry;
ALTER TABLE reviews DROP COLUMN entry;
ALTER TABLE grants DROP COLUMN entry;
ALTER TABLE rules DROP COLUMN entry;
ALTER TABLE holdings DROP COLUMN entry;
ALTER TABLE holds DROP COLUMN entry;
ALTER TABLE organizations DROP COLUMN entry;
