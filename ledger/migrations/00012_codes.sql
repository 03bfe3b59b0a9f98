-- +goose Up

-- A code that was typed is looked for by its hash, wherever it was typed.
CREATE INDEX grant_codes_by_hash ON grant_codes (hash);
CREATE INDEX review_codes_by_hash ON review_codes (hash);

-- Proofs that approvers gave: each counts once.
CREATE TABLE grant_proofs (
    org      keytext NOT NULL,
    grant_id keytext NOT NULL,
    proof    keytext NOT NULL,
    at       BIGINT  NOT NULL,
    PRIMARY KEY (org, grant_id, proof)
);

-- +goose Down
DROP TABLE grant_proofs;
DROP INDEX review_codes_by_hash;
DROP INDEX grant_codes_by_hash;
