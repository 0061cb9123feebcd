-- Runs in the transaction in which version 2 becomes the active one. history_weeks looks
-- as it did, for those who read it.
CREATE OR REPLACE VIEW history_files AS SELECT * FROM history_files_v2;
CREATE OR REPLACE VIEW history_authors AS SELECT * FROM history_authors_v2;
CREATE OR REPLACE VIEW history_weeks AS
    SELECT repository, week, sum(commits)::bigint AS commits FROM history_weeks_v2 GROUP BY repository, week;
CREATE VIEW history_weeks_by_author AS SELECT repository, week, author, commits FROM history_weeks_v2;
CREATE OR REPLACE VIEW history_version AS SELECT 2 AS version;
DROP TABLE history_files_v1, history_authors_v1, history_weeks_v1;
