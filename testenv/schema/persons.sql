-- Persons and their distinct ids (posthog/models/person/sql.py).

CREATE TABLE `{database}`.person (
    id UUID,
    created_at DateTime64(3, 'UTC'),
    team_id Int64,
    properties String,
    is_identified Int8,
    is_deleted Int8,
    version UInt64,
    _timestamp DateTime,
    _offset UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (team_id, id);

CREATE TABLE `{database}`.kafka_person (
    id UUID,
    created_at DateTime64(3, 'UTC'),
    team_id Int64,
    properties String,
    is_identified Int8,
    is_deleted Int8,
    version UInt64
)
ENGINE = Kafka
SETTINGS kafka_broker_list = '{brokers}',
         kafka_topic_list = '{persons_topic}',
         kafka_group_name = '{persons_group}',
         kafka_format = 'JSONEachRow',
         kafka_flush_interval_ms = {flush_interval_ms},
         kafka_poll_timeout_ms = 100;

CREATE MATERIALIZED VIEW `{database}`.person_mv TO `{database}`.person AS
SELECT id, created_at, team_id, properties, is_identified, is_deleted, version, _timestamp, _offset
FROM `{database}`.kafka_person;

CREATE TABLE `{database}`.person_distinct_id2 (
    team_id Int64,
    distinct_id String,
    person_id UUID,
    is_deleted Int8,
    version Int64,
    _timestamp DateTime,
    _offset UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (team_id, distinct_id);

-- Only ids that were moved from one person to another (version > 0).
CREATE TABLE `{database}`.person_distinct_id_overrides AS `{database}`.person_distinct_id2
ENGINE = ReplacingMergeTree(version)
ORDER BY (team_id, distinct_id);

CREATE TABLE `{database}`.kafka_person_distinct_id2 (
    team_id Int64,
    distinct_id String,
    person_id UUID,
    is_deleted Int8,
    version Int64
)
ENGINE = Kafka
SETTINGS kafka_broker_list = '{brokers}',
         kafka_topic_list = '{distinct_ids_topic}',
         kafka_group_name = '{distinct_ids_group}',
         kafka_format = 'JSONEachRow',
         kafka_flush_interval_ms = {flush_interval_ms},
         kafka_poll_timeout_ms = 100;

CREATE MATERIALIZED VIEW `{database}`.person_distinct_id2_mv TO `{database}`.person_distinct_id2 AS
SELECT team_id, distinct_id, person_id, is_deleted, version, _timestamp, _offset
FROM `{database}`.kafka_person_distinct_id2;

-- The overrides have a Kafka table and a consumer group of their own, as in PostHog.
CREATE TABLE `{database}`.kafka_person_distinct_id_overrides AS `{database}`.kafka_person_distinct_id2
ENGINE = Kafka
SETTINGS kafka_broker_list = '{brokers}',
         kafka_topic_list = '{distinct_ids_topic}',
         kafka_group_name = '{overrides_group}',
         kafka_format = 'JSONEachRow',
         kafka_flush_interval_ms = {flush_interval_ms},
         kafka_poll_timeout_ms = 100;

CREATE MATERIALIZED VIEW `{database}`.person_distinct_id_overrides_mv TO `{database}`.person_distinct_id_overrides AS
SELECT team_id, distinct_id, person_id, is_deleted, version, _timestamp, _offset
FROM `{database}`.kafka_person_distinct_id_overrides
WHERE version > 0;
