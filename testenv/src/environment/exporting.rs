//! The exporter of a run's own pipeline, and the webhook sink behind it: both are there only where plugins export.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{
    EnvironmentError,
    budget::Share,
    component::Component,
    launcher::{Data, Launcher, Role},
    pipeline::{Pipeline, PipelineOptions, READY_WITHIN, confined, json, variables},
    port::ReservedPort,
};
use crate::fault::Target;

/// How events are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportOptions {
    /// From what it is drawn which requests the webhook sink refuses.
    pub seed: u64,
    /// How many of a million it refuses.
    pub fails_of_a_million: u32,
    /// From what an exporter's waits before retries are counted.
    pub back_off: Duration,
}

impl Pipeline {
    /// Starts both, where plugins export; also where the sink tells what was delivered to it. The exporter is the pipeline's own,
    /// and held to what such are; the sink stands for somebody else's server.
    pub(super) async fn exporting(
        &self,
        launcher: &Launcher,
        data: &Data,
        (own, beside): (&Share, &Share),
        options: &PipelineOptions,
    ) -> Result<(Option<SocketAddr>, Vec<Component>), EnvironmentError> {
        let Some(exports) = options.exports else { return Ok((None, Vec::new())) };
        let no_port = |source| {
            let what = "no port for the webhook sink can be had".into();
            EnvironmentError::System { what, source }
        };
        let port = ReservedPort::new(None).map_err(no_port)?;
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port.get()));
        let role = |name, called, environment, port, share| Role {
            name,
            called,
            plays: name,
            environment,
            port,
            share,
            data,
            logs: &options.logs,
            within: READY_WITHIN,
        };
        let webhook = webhook(launcher.listens_at(at.port()), exports);
        // Several runs may have one on one network; the port is this one's alone.
        let host = launcher.host(&format!("webhook-{}", at.port()));
        let exporter = self.exporter(&format!("http://{host}:{}/", at.port()), exports, options);
        let webhook = launcher.start(role("webhook", Some(host), webhook, Some(port), beside)).await?;
        let exporter = launcher.start(role("exporter", None, exporter, None, own)).await?;
        Ok((Some(at), vec![webhook, exporter]))
    }

    fn exporter(&self, webhook: &str, exports: ExportOptions, options: &PipelineOptions) -> BTreeMap<String, String> {
        let mut variables = variables([
            // It stands where the ingester does.
            ("KAFKA_HOSTS", self.substrate.brokers_for(Target::IngesterKafka).to_owned()),
            ("EXPORTER_CONSUMER_GROUP_ID", self.groups.exporter.clone()),
            ("CLICKHOUSE_JSON_EVENTS_KAFKA_TOPIC", self.topics.events.clone()),
            ("ASSAY_PLUGINS", json(&options.plugins)),
            ("ASSAY_WEBHOOK_URL", webhook.to_owned()),
            ("ASSAY_EXPORT_BACK_OFF", exports.back_off.as_secs_f64().to_string()),
            ("ASSAY_PLANTED_DEFECTS", json(&options.planted_defects)),
        ]);
        variables.extend(confined(options));
        variables
    }
}

fn webhook(listens_at: SocketAddr, exports: ExportOptions) -> BTreeMap<String, String> {
    variables([
        ("ADDRESS", listens_at.to_string()),
        ("ASSAY_WEBHOOK_SEED", exports.seed.to_string()),
        ("ASSAY_WEBHOOK_FAILS_OF_A_MILLION", exports.fails_of_a_million.to_string()),
    ])
}
