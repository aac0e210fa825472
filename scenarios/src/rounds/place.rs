//! Where rounds run: a substrate that is kept up between them, or one that is up already.

use std::path::{Path, PathBuf};

use reports::progress::Progress;
use testenv::{containers::container::Limits, environment::substrate::Substrate};

use crate::{
    failure::Failure,
    run_directory::not_written,
    runner::{Shared, SubstrateSettings, Wanted, unique},
};

/// Where rounds run.
#[derive(Debug)]
pub struct Place<'a> {
    wanted: &'a Wanted,
    word: &'static str,
    logs: PathBuf,
    substrate: Option<Substrate>,
}

impl<'a> Place<'a> {
    /// The place that is `wanted`, whose substrate, if it is its own, is called after `word` and logs to the folder `logs`.
    pub fn new(wanted: &'a Wanted, word: &'static str, logs: &Path) -> Self {
        let logs = std::path::absolute(logs).unwrap_or_else(|_| logs.to_owned());
        Self { wanted, word, logs, substrate: None }
    }

    /// What a round runs on; a substrate that has ended is started again.
    ///
    /// # Errors
    /// When it cannot be started, or its logs have no folder.
    pub async fn ready(&mut self, progress: &Progress) -> Result<Wanted, Failure> {
        let Wanted::Own(own) = self.wanted else { return Ok(self.wanted.clone()) };
        if let Some(substrate) = &self.substrate {
            let ended = tokio::select! {
                biased;
                ended = substrate.failed() => ended,
                () = std::future::ready(()) => return Ok(Wanted::Shared(Shared::of(substrate, own))),
            };
            progress.step(&format!("{ended}: it is started anew"));
            self.leave().await;
        }
        std::fs::create_dir_all(&self.logs).map_err(|error| not_written(&self.logs, error))?;
        let name = unique(self.word);
        let settings = SubstrateSettings {
            folder: &std::env::temp_dir().join(format!("assay-{name}")),
            name,
            logs: &self.logs,
            linked: Vec::new(),
            disks: Vec::new(),
            limits: Limits::default(),
        };
        let substrate = Box::pin(own.start(settings, progress)).await?;
        let shared = Shared::of(&substrate, own);
        self.substrate = Some(substrate);
        Ok(Wanted::Shared(shared))
    }

    /// Takes the substrate down, if it is the rounds' own.
    pub async fn leave(&mut self) {
        if let Some(substrate) = self.substrate.take() {
            Box::pin(substrate.down()).await;
        }
    }
}
