-- Ingestion warnings (posthog/models/ingestion_warnings/sql.py).

CREATE TABLE `{database}`.ingestion_warnings (
    team_id Int64,
    source LowCardinality(String),
    type String,
    details String CODEC(ZSTD(3)),
    timestamp DateTime64(6, 'UTC'),
    _timestamp DateTime,
    _offset UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(timestamp)
ORDER BY (team_id, toHour(timestamp), type, source, timestamp);

CREATE TABLE `{database}`.kafka_ingestion_warnings (
    team_id Int64,
    source LowCardinality(String),
    type String,
    details String,
    timestamp DateTime64(6, 'UTC')
)
ENGINE = Kafka
SETTINGS kafka_broker_list = '{brokers}',
         kafka_topic_list = '{warnings_topic}',
         kafka_group_name = '{warnings_group}',
         kafka_format = 'JSONEachRow',
         kafka_flush_interval_ms = {flush_interval_ms},
         kafka_poll_timeout_ms = 100;

CREATE MATERIALIZED VIEW `{database}`.ingestion_warnings_mv TO `{database}`.ingestion_warnings AS
SELECT team_id, source, type, details, timestamp, _timestamp, _offset
FROM `{database}`.kafka_ingestion_warnings;
