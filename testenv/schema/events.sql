-- The events: Kafka engine → materialized view → table (posthog/models/event/sql.py). On a single node the view writes
-- into the table itself; there is no Distributed table before it (shards.sql has one). The columns read out of properties are part of what an
-- insert costs there, so they are here too; those read out of elements_chain are not, since few events fill it.

CREATE TABLE `{database}`.events (
    uuid UUID,
    event String,
    properties String CODEC(ZSTD(3)),
    timestamp DateTime64(6, 'UTC'),
    team_id Int64,
    distinct_id String,
    elements_chain String,
    created_at DateTime64(6, 'UTC'),
    captured_at Nullable(DateTime64(6, 'UTC')),
    project_id Int64,
    person_id UUID,
    person_created_at DateTime64(3, 'UTC'),
    person_properties String CODEC(ZSTD(3)),
    group0_properties String CODEC(ZSTD(3)),
    group0_created_at DateTime64(3, 'UTC'),
    group1_properties String CODEC(ZSTD(3)),
    group1_created_at DateTime64(3, 'UTC'),
    group2_properties String CODEC(ZSTD(3)),
    group2_created_at DateTime64(3, 'UTC'),
    group3_properties String CODEC(ZSTD(3)),
    group3_created_at DateTime64(3, 'UTC'),
    group4_properties String CODEC(ZSTD(3)),
    group4_created_at DateTime64(3, 'UTC'),
    person_mode Enum8('full' = 0, 'propertyless' = 1, 'force_upgrade' = 2),
    historical_migration Bool,
    `$group_0` String MATERIALIZED trim(BOTH '"' FROM JSONExtractRaw(properties, '$group_0')),
    `$group_1` String MATERIALIZED trim(BOTH '"' FROM JSONExtractRaw(properties, '$group_1')),
    `$group_2` String MATERIALIZED trim(BOTH '"' FROM JSONExtractRaw(properties, '$group_2')),
    `$group_3` String MATERIALIZED trim(BOTH '"' FROM JSONExtractRaw(properties, '$group_3')),
    `$group_4` String MATERIALIZED trim(BOTH '"' FROM JSONExtractRaw(properties, '$group_4')),
    `$window_id` String MATERIALIZED trim(BOTH '"' FROM JSONExtractRaw(properties, '$window_id')),
    `$session_id` String MATERIALIZED trim(BOTH '"' FROM JSONExtractRaw(properties, '$session_id')),
    _timestamp DateTime,
    _offset UInt64,
    inserted_at Nullable(DateTime64(6, 'UTC')) DEFAULT now64()
)
ENGINE = ReplacingMergeTree(_timestamp)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (team_id, toDate(timestamp), event, cityHash64(distinct_id), cityHash64(uuid))
SAMPLE BY cityHash64(distinct_id);

CREATE TABLE `{database}`.kafka_events_json (
    uuid UUID,
    event String,
    properties String,
    timestamp DateTime64(6, 'UTC'),
    team_id Int64,
    distinct_id String,
    elements_chain String,
    created_at DateTime64(6, 'UTC'),
    captured_at Nullable(DateTime64(6, 'UTC')),
    project_id Int64,
    person_id UUID,
    person_created_at DateTime64(3, 'UTC'),
    person_properties String,
    {group_columns}
    person_mode Enum8('full' = 0, 'propertyless' = 1, 'force_upgrade' = 2),
    historical_migration Bool
)
ENGINE = Kafka
SETTINGS kafka_broker_list = '{brokers}',
         kafka_topic_list = '{events_topic}',
         kafka_group_name = '{events_group}',
         kafka_format = 'JSONEachRow',
         kafka_skip_broken_messages = 100,
         kafka_flush_interval_ms = {flush_interval_ms},
         kafka_poll_timeout_ms = 100;

CREATE MATERIALIZED VIEW `{database}`.events_json_mv TO `{database}`.events AS
SELECT
    uuid, event, properties, timestamp, team_id, distinct_id, elements_chain, created_at, captured_at, project_id,
    person_id, person_created_at, person_properties,
    {group_names}
    person_mode, historical_migration,
    _timestamp, _offset
FROM `{database}`.kafka_events_json;
