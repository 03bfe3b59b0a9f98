BEGIN TRANSACTION;
CREATE TABLE activity (
    org    keytext  NOT NULL,
    person keytext  NOT NULL,
    at     BIGINT   NOT NULL, -- when it was read
    silent SMALLINT NOT NULL, -- it left out apps that the person has access to, and was the first to do so
    body   TEXT     NOT NULL,
    PRIMARY KEY (org, person)
);
CREATE TABLE entries (
    org    keytext NOT NULL,
    seq    BIGINT  NOT NULL,
    at     BIGINT  NOT NULL,
    kind   TEXT    NOT NULL,
    run    keytext NOT NULL,
    person keytext NOT NULL,
    target keytext NOT NULL,
    body   TEXT    NOT NULL,
    prev   TEXT    NOT NULL,
    hash   TEXT    NOT NULL,
    PRIMARY KEY (org, seq)
);
INSERT INTO "entries" VALUES('acme',1,1777896000123456,'grant-requested','','id-00001','role:org-admin','{"by":"bo@acme.example","duration":"2h0m0s","entries":["admins"],"grant":"open","needs":0,"reason":"INC-4711","ticket":"OPS-1"}','','sha256:e02ca8cf9b71791db94237de3441be6ea0b0a0fdece79cd0e698214386863d8c');
INSERT INTO "entries" VALUES('acme',2,1777896000123456,'grant-granted','','id-00001','role:org-admin','{"from":"2026-05-04T12:00:00.123456Z","grant":"open","until":"2026-05-04T14:00:00.123456Z"}','sha256:e02ca8cf9b71791db94237de3441be6ea0b0a0fdece79cd0e698214386863d8c','sha256:9b640a899a2e101024f20c2236b4b3377d28db721955a9b031e2515a5a7eee9a');
INSERT INTO "entries" VALUES('acme',3,1777896000123456,'grant-requested','','id-00001','group:ops','{"by":"bo@acme.example","decide":"2026-05-04T13:00:00.123456Z","duration":"2h0m0s","entries":["admins"],"grant":"waits","needs":2,"reason":"INC-4711","ticket":"OPS-1"}','sha256:9b640a899a2e101024f20c2236b4b3377d28db721955a9b031e2515a5a7eee9a','sha256:bd99d812a9a42678ab674d8dd9f91f4d77dcadf3ce6d525d26c67cbc0d3b9024');
INSERT INTO "entries" VALUES('acme',4,1777896300123456,'grant-approved','','id-00001','group:ops','{"by":"carol@acme.example","grant":"waits","note":"CHG-12"}','sha256:bd99d812a9a42678ab674d8dd9f91f4d77dcadf3ce6d525d26c67cbc0d3b9024','sha256:65bbb13253e0cbfd53608ebac0f37b7e4cb8dc460d1d33e8799e7a3e7a0a9dcd');
INSERT INTO "entries" VALUES('acme',5,1777896000123456,'grant-requested','','id-00001','group:dev','{"by":"id-00001","decide":"2026-05-04T13:00:00.123456Z","duration":"2h0m0s","entries":["admins"],"grant":"own","needs":1,"reason":"INC-4711","ticket":"OPS-1"}','sha256:65bbb13253e0cbfd53608ebac0f37b7e4cb8dc460d1d33e8799e7a3e7a0a9dcd','sha256:999a3602da8944c12135012cdfa4c2f5b1459ee5ea557fe9a239adfe4ac39e8d');
INSERT INTO "entries" VALUES('acme',6,1777896000123456,'grant-requested','','id-00001','group:docs','{"by":"helpdesk","decide":"2026-05-04T13:00:00.123456Z","duration":"2h0m0s","entries":["admins"],"grant":"helpdesk","needs":1,"reason":"INC-4711","ticket":"OPS-1"}','sha256:999a3602da8944c12135012cdfa4c2f5b1459ee5ea557fe9a239adfe4ac39e8d','sha256:c4f7c1556114f1635fb9bd7275dbddb05b6717f561d6324c83926832885fcd29');
INSERT INTO "entries" VALUES('acme',7,1777896000123456,'grant-requested','','id-00001','group:qa','{"by":"bo@acme.example","decide":"2026-05-04T13:00:00.123456Z","duration":"2h0m0s","entries":["admins"],"grant":"ended","needs":1,"reason":"INC-4711","ticket":"OPS-1"}','sha256:c4f7c1556114f1635fb9bd7275dbddb05b6717f561d6324c83926832885fcd29','sha256:ff1d37166042153fcb8b7050f854734fbebd58c4e21ef0c2957e12610ae28df8');
INSERT INTO "entries" VALUES('acme',8,1777896300123456,'grant-approved','','id-00001','group:qa','{"by":"dan@acme.example","grant":"ended","note":"CHG-12"}','sha256:ff1d37166042153fcb8b7050f854734fbebd58c4e21ef0c2957e12610ae28df8','sha256:6a329a5cd0cc9112ca98f8762d392daa0b7b73c8a0b3cc135cc2d4a89a2e390a');
INSERT INTO "entries" VALUES('acme',9,1777896300123456,'grant-granted','','id-00001','group:qa','{"from":"2026-05-04T12:05:00.123456Z","grant":"ended","until":"2026-05-04T14:05:00.123456Z"}','sha256:6a329a5cd0cc9112ca98f8762d392daa0b7b73c8a0b3cc135cc2d4a89a2e390a','sha256:b27134ab3fef0d24c60b6c7bf016a4787c60e1533b50a988987d3dd7bd34e57b');
INSERT INTO "entries" VALUES('acme',10,1777896600123456,'grant-ended','','id-00001','group:qa','{"by":"Bo@acme.example","grant":"ended","until":"2026-05-04T12:10:00.123456Z","why":"done","withdrawn":false}','sha256:b27134ab3fef0d24c60b6c7bf016a4787c60e1533b50a988987d3dd7bd34e57b','sha256:e9ba633e2f0027b0c142ee5078a59b9f225e6b972280b00ad3ffe9cda35cd1a4');
INSERT INTO "entries" VALUES('acme',11,1777896660123456,'grant-taken','','id-00001','group:qa','{"grant":"ended","how":"seen"}','sha256:e9ba633e2f0027b0c142ee5078a59b9f225e6b972280b00ad3ffe9cda35cd1a4','sha256:009148174cc798ae1341b228c5ac7a8118ca72304131fd5f3f64b7161b3740d8');
INSERT INTO "entries" VALUES('acme',12,1777896000123456,'grant-requested','','','directory','{"by":"bo@acme.example","duration":"2h0m0s","entries":["admins"],"grant":"guest","needs":0,"reason":"INC-4711","ticket":"OPS-1"}','sha256:009148174cc798ae1341b228c5ac7a8118ca72304131fd5f3f64b7161b3740d8','sha256:ef9c22d0f3d8b8d2f70890f61a62c932b50bd0c67f3398b522c4fe410b426b79');
INSERT INTO "entries" VALUES('acme',13,1777896000123456,'grant-granted','','','directory','{"from":"2026-05-04T12:00:00.123456Z","grant":"guest","until":"2026-05-04T14:00:00.123456Z"}','sha256:ef9c22d0f3d8b8d2f70890f61a62c932b50bd0c67f3398b522c4fe410b426b79','sha256:3c5cddc8490c392b35328727ac9d55df8e1dc34cd800e1d139b3ba89fd4d8243');
CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
INSERT INTO "goose_db_version" VALUES(1,0,1,'2026-11-29 10:29:03');
INSERT INTO "goose_db_version" VALUES(2,1,1,'2026-11-29 10:29:03');
INSERT INTO "goose_db_version" VALUES(3,2,1,'2026-11-29 10:29:03');
INSERT INTO "goose_db_version" VALUES(4,3,1,'2026-11-29 10:29:03');
INSERT INTO "goose_db_version" VALUES(5,4,1,'2026-11-29 10:29:03');
INSERT INTO "goose_db_version" VALUES(6,5,1,'2026-11-29 10:29:03');
CREATE TABLE grant_codes (
    org      keytext NOT NULL,
    grant_id keytext NOT NULL,
    approver keytext NOT NULL, -- in lower case
    hash     keytext NOT NULL,
    at       BIGINT  NOT NULL,
    used     BIGINT  NOT NULL,
    PRIMARY KEY (org, grant_id, approver, hash)
);
INSERT INTO "grant_codes" VALUES('acme','waits','carol@acme.example','hash-carol',1777896000123456,1777896300123456);
INSERT INTO "grant_codes" VALUES('acme','waits','dan@acme.example','hash-dan',1777896000123456,0);
CREATE TABLE grants (
    org        keytext  NOT NULL,
    id         keytext  NOT NULL,
    person     keytext  NOT NULL, -- account id; the address in lower case while the directory does not show the person
    email      TEXT     NOT NULL,
    email_key  keytext  NOT NULL, -- the address in lower case
    target     keytext  NOT NULL,
    target_key keytext  NOT NULL, -- the target in lower case
    person_key keytext  NOT NULL, -- names the person in the grant's workflow
    state      TEXT     NOT NULL,
    settled    SMALLINT NOT NULL, -- nothing is left to do about it
    requested  BIGINT   NOT NULL,
    since      BIGINT   NOT NULL,
    until      BIGINT   NOT NULL,
    taken      BIGINT   NOT NULL,
    body       TEXT     NOT NULL, -- what has no column of its own
    PRIMARY KEY (org, id)
);
INSERT INTO "grants" VALUES('acme','open','id-00001','Person.00001@acme.example','person.00001@acme.example','role:org-admin','role:org-admin','person.00001@acme.example','granted',0,1777896000123456,1777896000123456,1777903200123456,0,'{"id":"","person":"","key":"","target":"","state":"","entries":["admins"],"reason":"INC-4711","ticket":"OPS-1","by":"bo@acme.example","requested":"0001-01-01T00:00:00Z","duration":"2h0m0s","remind":"1m0s"}');
INSERT INTO "grants" VALUES('acme','waits','id-00001','Person.00001@acme.example','person.00001@acme.example','group:ops','group:ops','person.00001@acme.example','waiting',0,1777896000123456,0,0,0,'{"id":"","person":"","key":"","target":"","state":"","entries":["admins"],"reason":"INC-4711","ticket":"OPS-1","by":"bo@acme.example","requested":"0001-01-01T00:00:00Z","duration":"2h0m0s","remind":"1m0s","needs":2,"approvers":["carol@acme.example","dan@acme.example","twin@acme.example","gone@acme.example"],"codes":true,"decide":"2026-05-04T13:00:00.123456Z","approvals":[{"by":"carol@acme.example","at":"2026-05-04T12:05:00.123456Z","note":"CHG-12"}]}');
INSERT INTO "grants" VALUES('acme','own','id-00001','Person.00001@acme.example','person.00001@acme.example','group:dev','group:dev','person.00001@acme.example','waiting',0,1777896000123456,0,0,0,'{"id":"","person":"","key":"","target":"","state":"","entries":["admins"],"reason":"INC-4711","ticket":"OPS-1","by":"Person.00001@acme.example","requested":"0001-01-01T00:00:00Z","duration":"2h0m0s","remind":"1m0s","needs":1,"approvers":["carol@acme.example","bo@acme.example"],"decide":"2026-05-04T13:00:00.123456Z"}');
INSERT INTO "grants" VALUES('acme','helpdesk','id-00001','Person.00001@acme.example','person.00001@acme.example','group:docs','group:docs','person.00001@acme.example','waiting',0,1777896000123456,0,0,0,'{"id":"","person":"","key":"","target":"","state":"","entries":["admins"],"reason":"INC-4711","ticket":"OPS-1","by":"helpdesk","requested":"0001-01-01T00:00:00Z","duration":"2h0m0s","remind":"1m0s","needs":1,"approvers":["carol@acme.example","dan@acme.example"],"decide":"2026-05-04T13:00:00.123456Z"}');
INSERT INTO "grants" VALUES('acme','ended','id-00001','Person.00001@acme.example','person.00001@acme.example','group:qa','group:qa','person.00001@acme.example','ended',1,1777896000123456,1777896300123456,1777896600123456,1777896660123456,'{"id":"","person":"","key":"","target":"","state":"","entries":["admins"],"reason":"INC-4711","ticket":"OPS-1","by":"bo@acme.example","requested":"0001-01-01T00:00:00Z","duration":"2h0m0s","remind":"1m0s","needs":1,"approvers":["carol@acme.example","dan@acme.example"],"decide":"2026-05-04T13:00:00.123456Z","approvals":[{"by":"dan@acme.example","at":"2026-05-04T12:05:00.123456Z","note":"CHG-12"}],"closedBy":"Bo@acme.example","closedWhy":"done"}');
INSERT INTO "grants" VALUES('acme','guest','guest@else.example','Guest@else.example','guest@else.example','directory','directory','guest@else.example','granted',0,1777896000123456,1777896000123456,1777903200123456,0,'{"id":"","person":"","key":"","target":"","state":"","entries":["admins"],"reason":"INC-4711","ticket":"OPS-1","by":"bo@acme.example","requested":"0001-01-01T00:00:00Z","duration":"2h0m0s","remind":"1m0s"}');
CREATE TABLE heads (
    org  keytext NOT NULL PRIMARY KEY,
    seq  BIGINT  NOT NULL,
    hash TEXT    NOT NULL
);
INSERT INTO "heads" VALUES('acme',13,'sha256:3c5cddc8490c392b35328727ac9d55df8e1dc34cd800e1d139b3ba89fd4d8243');
CREATE TABLE holdings (
    org      keytext  NOT NULL,
    person   keytext  NOT NULL,
    target   keytext  NOT NULL,
    since    BIGINT   NOT NULL,
    until    BIGINT   NOT NULL, -- 0 while it stands
    group_id keytext  NOT NULL,
    owned    SMALLINT NOT NULL,
    reasons  TEXT     NOT NULL,
    run      keytext  NOT NULL,
    PRIMARY KEY (org, person, target, since)
);
CREATE TABLE holds (
    org      keytext NOT NULL,
    number   BIGINT  NOT NULL, -- 1, 2, 3 … within the organization
    plan     keytext NOT NULL,
    run      keytext NOT NULL,
    adds     BIGINT  NOT NULL,
    removals BIGINT  NOT NULL,
    adopts   BIGINT  NOT NULL,
    people   BIGINT  NOT NULL,
    rules    TEXT    NOT NULL,
    changed  TEXT    NOT NULL,
    opened   BIGINT  NOT NULL,
    decided  BIGINT  NOT NULL,
    decision TEXT    NOT NULL, -- '' while it is open
    by_whom  TEXT    NOT NULL,
    note     TEXT    NOT NULL,
    PRIMARY KEY (org, number)
);
CREATE TABLE known_defaults (
    org    keytext NOT NULL,
    target keytext NOT NULL,
    group_ids TEXT NOT NULL,
    PRIMARY KEY (org, target)
);
CREATE TABLE lines (
    org      keytext  NOT NULL,
    run      keytext  NOT NULL,
    person   keytext  NOT NULL,
    target   keytext  NOT NULL,
    rank     SMALLINT NOT NULL, -- order in a listing: 0 add, 1 adopt, 2 remove
    action   TEXT     NOT NULL,
    group_id keytext  NOT NULL,
    email    TEXT     NOT NULL,
    state    TEXT     NOT NULL,
    reasons  TEXT     NOT NULL,
    sources  TEXT     NOT NULL,
    loses    TEXT     NOT NULL,
    held_by  TEXT     NOT NULL,
    answer   TEXT     NOT NULL,
    at       BIGINT   NOT NULL, -- when the state was reached
    attempts BIGINT   NOT NULL, lapse SMALLINT NOT NULL DEFAULT 0, -- how often its write was begun; a line without any may still be planned anew
    PRIMARY KEY (org, run, person, target)
);
CREATE TABLE marks (
    org    keytext NOT NULL,
    person keytext NOT NULL,
    rule   keytext NOT NULL, -- the rule's key
    since  BIGINT  NOT NULL,
    told   BIGINT  NOT NULL, -- 0: not yet
    PRIMARY KEY (org, person, rule)
);
CREATE TABLE organizations (
    org        keytext NOT NULL PRIMARY KEY,
    org_id     TEXT    NOT NULL,
    directory  TEXT    NOT NULL,
    policy     keytext NOT NULL,
    policy_at  BIGINT  NOT NULL,
    adopted_at BIGINT  NOT NULL
, domains TEXT NOT NULL DEFAULT '');
CREATE TABLE outlines (
    org    keytext NOT NULL,
    run    keytext NOT NULL,
    policy keytext NOT NULL,
    body   TEXT    NOT NULL,
    at     BIGINT  NOT NULL,
    PRIMARY KEY (org, run)
);
CREATE TABLE pages (
    org    keytext NOT NULL,
    run    keytext NOT NULL,
    page   keytext NOT NULL,
    seen   TEXT    NOT NULL,
    counts TEXT    NOT NULL, notes TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (org, run, page)
);
INSERT INTO "pages" VALUES('acme','r1','1','','{"people":8,"pages":1}','');
CREATE TABLE people (
    org               keytext NOT NULL,
    id                keytext NOT NULL,
    email             TEXT    NOT NULL,
    email_key         keytext NOT NULL, -- the address in lower case
    name              TEXT    NOT NULL,
    account_type      TEXT    NOT NULL,
    account_status    TEXT    NOT NULL,
    membership_status TEXT    NOT NULL,
    claim_status      TEXT    NOT NULL,
    management_source TEXT    NOT NULL,
    at                BIGINT  NOT NULL, -- when one of these last changed
    PRIMARY KEY (org, id)
);
INSERT INTO "people" VALUES('acme','id-00001','Person.00001@acme.example','person.00001@acme.example','Person 1','atlassian','active','active','managed','synced',1777896000123456);
INSERT INTO "people" VALUES('acme','id-00002','Person.00002@acme.example','person.00002@acme.example','Person 2','atlassian','active','active','managed','synced',1777896000123456);
INSERT INTO "people" VALUES('acme','id-bo','bo@acme.example','bo@acme.example','id-bo','atlassian','active','active','','',1777896000123456);
INSERT INTO "people" VALUES('acme','id-carol','Carol@acme.example','carol@acme.example','id-carol','atlassian','active','active','','',1777896000123456);
INSERT INTO "people" VALUES('acme','id-dan','dan@acme.example','dan@acme.example','id-dan','atlassian','active','active','','',1777896000123456);
INSERT INTO "people" VALUES('acme','id-eve','eve@acme.example','eve@acme.example','id-eve','atlassian','active','active','','',1777896000123456);
INSERT INTO "people" VALUES('acme','id-twin-1','twin@acme.example','twin@acme.example','id-twin-1','atlassian','active','active','','',1777896000123456);
INSERT INTO "people" VALUES('acme','id-twin-2','twin@acme.example','twin@acme.example','id-twin-2','atlassian','active','active','','',1777896000123456);
CREATE TABLE policies (
    org       keytext NOT NULL,
    hash      keytext NOT NULL,
    body      TEXT    NOT NULL,
    source    TEXT    NOT NULL,
    org_id    TEXT    NOT NULL,
    directory TEXT    NOT NULL,
    by_whom   TEXT    NOT NULL,
    at        BIGINT  NOT NULL,
    PRIMARY KEY (org, hash)
);
CREATE TABLE rejections (
    org      keytext NOT NULL,
    person   keytext NOT NULL,
    target   keytext NOT NULL,
    action   TEXT    NOT NULL,
    group_id keytext NOT NULL,
    email    TEXT    NOT NULL,
    reasons  TEXT    NOT NULL,
    sources  TEXT    NOT NULL,
    loses    TEXT    NOT NULL,
    held_by  TEXT    NOT NULL,
    answer   TEXT    NOT NULL,
    at       BIGINT  NOT NULL,
    PRIMARY KEY (org, person, target, action)
);
CREATE TABLE report_rows (
    org      keytext NOT NULL,
    report   keytext NOT NULL,
    section  keytext NOT NULL,
    identity keytext NOT NULL,
    cells    TEXT    NOT NULL,
    PRIMARY KEY (org, report, section, identity)
);
CREATE TABLE reports (
    org  keytext NOT NULL,
    kind keytext NOT NULL,
    id   keytext NOT NULL,
    at   BIGINT  NOT NULL,
    body TEXT    NOT NULL,
    PRIMARY KEY (org, kind, id)
);
CREATE TABLE rereads (
    org      keytext NOT NULL,
    run      keytext NOT NULL,
    group_id keytext NOT NULL,
    users    BIGINT  NOT NULL,
    PRIMARY KEY (org, run, group_id)
);
CREATE TABLE review_codes (
    org      keytext NOT NULL,
    review   keytext NOT NULL,
    reviewer keytext NOT NULL,
    hash     keytext NOT NULL,
    at       BIGINT  NOT NULL,
    used     BIGINT  NOT NULL, -- when it was given as it is, and so became known; 0: not yet
    PRIMARY KEY (org, review, reviewer, hash)
);
CREATE TABLE review_events (
    org     keytext NOT NULL,
    review  keytext NOT NULL,
    seq     BIGINT  NOT NULL,
    at      BIGINT  NOT NULL,
    kind    TEXT    NOT NULL,
    by_whom TEXT    NOT NULL,
    via     TEXT    NOT NULL,
    n       BIGINT  NOT NULL,
    stage   BIGINT  NOT NULL,
    verdict TEXT    NOT NULL,
    bulk    BIGINT  NOT NULL,
    to_whom TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (org, review, seq)
);
CREATE TABLE review_evidence (
    org    keytext NOT NULL,
    review keytext NOT NULL,
    piece  BIGINT  NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (org, review, piece)
);
CREATE TABLE review_items (
    org     keytext  NOT NULL,
    review  keytext  NOT NULL,
    person  keytext  NOT NULL,
    target  keytext  NOT NULL,
    page    keytext  NOT NULL, -- of the sweep that took it
    n       BIGINT   NOT NULL, -- 0 until the items are numbered
    risk    BIGINT   NOT NULL,
    stage   BIGINT   NOT NULL, -- the last that it came to
    spoke   BIGINT   NOT NULL, -- the last stage in which somebody said something
    version BIGINT   NOT NULL,
    verdict TEXT     NOT NULL,
    outcome TEXT     NOT NULL,
    facts   TEXT     NOT NULL, -- as they were when it was taken
    said    TEXT     NOT NULL,
    result  TEXT     NOT NULL, -- of the outcome
    PRIMARY KEY (org, review, person, target)
);
CREATE TABLE review_last (
    org      keytext NOT NULL,
    campaign keytext NOT NULL,
    person   keytext NOT NULL,
    target   keytext NOT NULL,
    review   keytext NOT NULL,
    verdict  TEXT    NOT NULL,
    by_whom  TEXT    NOT NULL, -- '': nobody, by the rule for silence
    at       BIGINT  NOT NULL,
    held     TEXT    NOT NULL, -- the reasons for which it was held
    PRIMARY KEY (org, campaign, person, target)
);
CREATE TABLE review_links (
    org      keytext NOT NULL,
    id       keytext NOT NULL,
    review   keytext NOT NULL,
    reviewer keytext NOT NULL,
    at       BIGINT  NOT NULL,
    expires  BIGINT  NOT NULL,
    revoked  BIGINT  NOT NULL, -- 0: not
    PRIMARY KEY (org, id)
);
CREATE TABLE review_pages (
    org    keytext NOT NULL,
    review keytext NOT NULL,
    page   keytext NOT NULL,
    notes  TEXT    NOT NULL,
    PRIMARY KEY (org, review, page)
);
CREATE TABLE review_proofs (
    org    keytext NOT NULL,
    review keytext NOT NULL,
    proof  keytext NOT NULL,
    at     BIGINT  NOT NULL,
    PRIMARY KEY (org, review, proof)
);
CREATE TABLE review_tasks (
    org      keytext NOT NULL,
    review   keytext NOT NULL,
    stage    BIGINT  NOT NULL,
    reviewer keytext NOT NULL, -- address in lower case, or account id
    n        BIGINT  NOT NULL,
    role     TEXT    NOT NULL,
    since    BIGINT  NOT NULL,
    verdict  TEXT    NOT NULL, -- what this reviewer said; '' for nothing
    PRIMARY KEY (org, review, stage, reviewer, n)
);
CREATE TABLE reviews (
    org      keytext NOT NULL,
    id       keytext NOT NULL,
    campaign keytext NOT NULL,
    state    TEXT    NOT NULL,
    stage    BIGINT  NOT NULL,
    opened   BIGINT  NOT NULL,
    events   BIGINT  NOT NULL, -- number of the last event
    ranked   BIGINT  NOT NULL, -- 0: its items are being taken; 1: ranked; 2: they have their numbers
    body     TEXT    NOT NULL, -- what has no column of its own
    PRIMARY KEY (org, id)
);
CREATE TABLE rules (
    org      keytext NOT NULL,
    rule     keytext NOT NULL,
    name     TEXT    NOT NULL,
    seen     TEXT    NOT NULL, -- hash of what it was last shown to do while it only observed
    lines    BIGINT  NOT NULL, -- how many changes that was
    seen_at  BIGINT  NOT NULL,
    seen_run keytext NOT NULL,
    released BIGINT  NOT NULL, -- when its changes were consented to; 0: not yet
    by_whom  TEXT    NOT NULL,
    PRIMARY KEY (org, rule)
);
CREATE TABLE rulings (
    org     keytext NOT NULL,
    person  keytext NOT NULL,
    target  keytext NOT NULL,
    review  keytext NOT NULL,
    verdict TEXT    NOT NULL,
    at      BIGINT  NOT NULL,
    until   BIGINT  NOT NULL, -- 0: until it is carried out
    PRIMARY KEY (org, person, target, review)
);
CREATE TABLE runs (
    org           keytext  NOT NULL,
    id            keytext  NOT NULL,
    started_by    TEXT     NOT NULL,
    scope         TEXT     NOT NULL,
    policy        keytext  NOT NULL,
    by_whom       TEXT     NOT NULL,
    dry_run       SMALLINT NOT NULL,
    preview       SMALLINT NOT NULL,
    state         TEXT     NOT NULL,
    plan          TEXT     NOT NULL,
    started       BIGINT   NOT NULL,
    ended         BIGINT   NOT NULL,
    problem       TEXT     NOT NULL,
    counts        TEXT     NOT NULL,
    findings      TEXT     NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE TABLE source_counts (
    org      keytext NOT NULL,
    group_id keytext NOT NULL,
    name     TEXT    NOT NULL,
    users    BIGINT  NOT NULL,
    at       BIGINT  NOT NULL,
    run      keytext NOT NULL,
    PRIMARY KEY (org, group_id)
);
CREATE TABLE suspensions (
    org     keytext NOT NULL,
    person  keytext NOT NULL,
    since   BIGINT  NOT NULL,
    run     keytext NOT NULL,
    reasons TEXT    NOT NULL,
    PRIMARY KEY (org, person)
);
CREATE INDEX runs_by_start ON runs (org, started, id);
CREATE INDEX people_by_email ON people (org, email_key);
CREATE INDEX lines_in_order ON lines (org, run, rank, person, target);
CREATE INDEX lines_written ON lines (org, person, at) WHERE state IN ('sent', 'done', 'already');
CREATE INDEX lines_planned ON lines (org, person) WHERE state = 'planned';
CREATE INDEX lines_removed ON lines (org, at) WHERE state = 'done' AND action = 'remove';
CREATE UNIQUE INDEX holdings_open ON holdings (org, person, target) WHERE until = 0;
CREATE INDEX holdings_foreign ON holdings (org, target, person) WHERE until = 0 AND owned = 0;
CREATE INDEX holdings_by_target ON holdings (org, target, since);
CREATE UNIQUE INDEX holds_open ON holds (org) WHERE decision = '';
CREATE INDEX entries_by_person ON entries (org, person, seq);
CREATE INDEX entries_by_target ON entries (org, target, seq);
CREATE INDEX entries_by_time ON entries (org, at);
CREATE INDEX grants_by_time ON grants (org, requested, id);
CREATE INDEX grants_by_person ON grants (org, person, target_key);
CREATE INDEX grants_by_address ON grants (org, email_key, target_key);
CREATE INDEX grants_standing ON grants (org, person, until) WHERE settled = 0;
CREATE INDEX grants_unsettled ON grants (org, requested, id) WHERE settled = 0;
CREATE INDEX grants_of_workflow ON grants (org, target_key, person_key, requested, id) WHERE settled = 0;
CREATE INDEX grants_ending ON grants (org, until, id) WHERE settled = 0;
CREATE INDEX lines_by_address ON lines (org, person) WHERE person LIKE '%@%';
CREATE INDEX holdings_by_grant ON holdings (org, since) WHERE reasons LIKE '%"kind":"grant"%';
CREATE INDEX marks_by_since ON marks (org, rule, since, person);
CREATE INDEX marks_by_told ON marks (org, rule, told, person);
CREATE INDEX reviews_by_time ON reviews (org, opened, id);
CREATE INDEX review_items_by_number ON review_items (org, review, n);
CREATE INDEX review_items_by_outcome ON review_items (org, review, outcome, n);
CREATE INDEX review_events_by_person ON review_events (by_whom, kind, at);
CREATE INDEX review_links_by_review ON review_links (org, review, reviewer);
CREATE INDEX rulings_by_review ON rulings (org, review);
CREATE INDEX lines_stopped ON lines (org, person) WHERE state IN ('held', 'refused');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('goose_db_version',6);
COMMIT;
