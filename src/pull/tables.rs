//! The tables of the pull, in the site's database. Harmless to apply again.
//! `pull_` which types come which way, and which the EHR does not offer; `export_` the job of each run, the files it listed, what is to be told of it, and the
//! jobs of ours that an EHR may still hold, whatever became of their run; `crawl_` how far each search is; `known_patient`
//! and `landed_file` what later runs need not ask for again. No id of a patient stands here in clear.

/// Every table of the pull.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS pull_plan (
    run    INTEGER PRIMARY KEY,
    bulk   TEXT,
    search TEXT,
    aside  INTEGER NOT NULL                    -- a backfill: no nightly run goes on from it
) STRICT;
CREATE TABLE IF NOT EXISTS pull_not_offered (  -- wanted, and not asked for
    run           INTEGER NOT NULL,
    resource_type TEXT NOT NULL,
    PRIMARY KEY (run, resource_type)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pull_rate (
    ehr          TEXT NOT NULL,
    way          TEXT NOT NULL CHECK (way IN ('bulk', 'search')),
    resources    INTEGER NOT NULL,
    milliseconds INTEGER NOT NULL,
    PRIMARY KEY (ehr, way)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS export_job (
    run              INTEGER PRIMARY KEY,
    state            TEXT NOT NULL CHECK (state IN ('kicking', 'polling', 'listed', 'done')),
    poll_url         TEXT,
    begun_at         TEXT NOT NULL,
    next_at          TEXT NOT NULL,
    transaction_time TEXT,
    needs_token      INTEGER NOT NULL DEFAULT 1,
    restarts         INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS export_file (
    run           INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    url           TEXT NOT NULL,
    expected      INTEGER,
    state         TEXT NOT NULL CHECK (state IN ('listed', 'landed', 'failed')),
    segment       INTEGER,
    problem       TEXT,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS export_note (
    run           INTEGER NOT NULL,
    resource_type TEXT NOT NULL,
    effect        TEXT NOT NULL CHECK (effect IN ('told', 'ignored', 'spoils')),
    note          TEXT NOT NULL,
    PRIMARY KEY (run, resource_type, note)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS export_own (
    poll_url    TEXT PRIMARY KEY,
    kicked_at   TEXT NOT NULL,
    ask         TEXT NOT NULL,
    is_separate INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS landed_file (
    digest TEXT NOT NULL,
    run    INTEGER NOT NULL,
    PRIMARY KEY (digest, run)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS crawl_run (
    run          INTEGER PRIMARY KEY,
    state        TEXT NOT NULL CHECK (state IN ('cohort', 'patients', 'done')),
    owner        BLOB NOT NULL,                -- the call that may write; a later call takes over
    began_at     INTEGER,                      -- microseconds, the earlier of the server's clock and ours
    cohort_at    BLOB,                         -- sealed: how far the cohort is found
    cohort_whole INTEGER NOT NULL DEFAULT 1,
    milliseconds INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS crawl_type (
    run           INTEGER NOT NULL,
    resource_type TEXT NOT NULL,
    way           TEXT NOT NULL CHECK (way IN ('type', 'patient', 'reference', 'none')),
    filtered      INTEGER NOT NULL,            -- a search that leaves something out by itself
    done          INTEGER NOT NULL DEFAULT 0,  -- of 'type': read to its last page
    next          BLOB,                        -- of 'type': sealed, the page to go on with
    matches       INTEGER NOT NULL DEFAULT 0,  -- of 'type': entries seen
    failures      INTEGER NOT NULL DEFAULT 0,
    refused       INTEGER,                     -- the status with which the server refuses every search of it
    newest        INTEGER,                     -- microseconds, the newest meta.lastUpdated
    PRIMARY KEY (run, resource_type)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS crawl_patient (
    run    INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    key    BLOB NOT NULL,
    sealed BLOB NOT NULL,
    state  TEXT NOT NULL CHECK (state IN ('open', 'done', 'merged', 'gone', 'failed')),
    landed INTEGER NOT NULL,                   -- the Patient itself came with the cohort
    tries  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, seq),
    UNIQUE (run, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS crawl_reference (
    run           INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    resource_type TEXT NOT NULL,
    key           BLOB NOT NULL,
    sealed        BLOB NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('open', 'done', 'absent', 'failed')),
    tries         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, seq),
    UNIQUE (run, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS crawl_reference_open ON crawl_reference (run, state, resource_type);
CREATE TABLE IF NOT EXISTS crawl_seen (        -- what this run landed
    run      INTEGER NOT NULL,
    resource BLOB NOT NULL,
    version  BLOB NOT NULL,
    PRIMARY KEY (run, resource, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS crawl_note (
    run     INTEGER NOT NULL,
    note    TEXT NOT NULL,
    problem INTEGER NOT NULL,
    times   INTEGER NOT NULL,
    PRIMARY KEY (run, note)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_patient (     -- whose data a run had whole: only of them a `since` leaves nothing out
    patient BLOB NOT NULL,
    run     INTEGER NOT NULL,
    sure    INTEGER NOT NULL,                  -- the run is known to have had everything of them
    PRIMARY KEY (patient, run)
) STRICT, WITHOUT ROWID;
";
