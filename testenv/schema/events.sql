-- The events: Kafka engine → materialized view → table (posthog/models/event/sql.py). On a single node the view writes
-- into the table itself; there is no Distributed table before it.

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
    person_mode Enum8('full' = 0, 'propertyless' = 1, 'force_upgrade' = 2),
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
    person_mode Enum8('full' = 0, 'propertyless' = 1, 'force_upgrade' = 2)
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
    person_id, person_created_at, person_properties, person_mode,
    _timestamp, _offset
FROM `{database}`.kafka_events_json;
