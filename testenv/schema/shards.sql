-- The events on a cluster of two shards: Kafka engine → materialized view → writable_events (Distributed) → a table of each
-- shard; read through events (Distributed), as posthog/models/event/sql.py has them.
--
-- Both shards are one server, which reads each of them within itself: it asks both for the table sharded_events. That shows
-- to each shard its own rows only, by the shard's number. What is written to a shard does not say its number, so the rows
-- that writable_events has split by its sharding key are told apart by the same key once more.

CREATE TABLE `{database}`.sharded_events_2 AS `{database}`.sharded_events_1;

CREATE VIEW `{database}`.sharded_events AS
SELECT * FROM `{database}`.sharded_events_1 WHERE shardNum() = 1
UNION ALL
SELECT * FROM `{database}`.sharded_events_2 WHERE shardNum() = 2;

CREATE TABLE `{database}`.sharded_events_in AS `{database}`.sharded_events ENGINE = Null;

CREATE MATERIALIZED VIEW `{database}`.sharded_events_1_mv TO `{database}`.sharded_events_1 AS
SELECT * EXCEPT (inserted_at) FROM `{database}`.sharded_events_in WHERE sipHash64(distinct_id) % 2 = 0;

CREATE MATERIALIZED VIEW `{database}`.sharded_events_2_mv TO `{database}`.sharded_events_2 AS
SELECT * EXCEPT (inserted_at) FROM `{database}`.sharded_events_in WHERE sipHash64(distinct_id) % 2 = 1;

CREATE TABLE `{database}`.writable_events AS `{database}`.sharded_events
ENGINE = Distributed('assay_shards', '{database}', 'sharded_events_in', sipHash64(distinct_id));

CREATE TABLE `{database}`.events AS `{database}`.sharded_events
ENGINE = Distributed('assay_shards', '{database}', 'sharded_events', sipHash64(distinct_id));
