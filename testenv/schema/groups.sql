-- What groups are (posthog/models/group/sql.py). The version is a time in seconds: of two updates within one second, the row
-- that was inserted last stays.

CREATE TABLE `{database}`.groups (
    group_type_index UInt8,
    group_key String,
    created_at DateTime64(3, 'UTC'),
    team_id Int64,
    group_properties String,
    _timestamp DateTime,
    _offset UInt64
)
ENGINE = ReplacingMergeTree(_timestamp)
ORDER BY (team_id, group_type_index, group_key);

CREATE TABLE `{database}`.kafka_groups (
    group_type_index UInt8,
    group_key String,
    created_at DateTime64(3, 'UTC'),
    team_id Int64,
    group_properties String
)
ENGINE = Kafka
SETTINGS kafka_broker_list = '{brokers}',
         kafka_topic_list = '{groups_topic}',
         kafka_group_name = '{groups_group}',
         kafka_format = 'JSONEachRow',
         kafka_flush_interval_ms = {flush_interval_ms},
         kafka_poll_timeout_ms = 100;

CREATE MATERIALIZED VIEW `{database}`.groups_mv TO `{database}`.groups AS
SELECT group_type_index, group_key, created_at, team_id, group_properties, _timestamp, _offset
FROM `{database}`.kafka_groups;
