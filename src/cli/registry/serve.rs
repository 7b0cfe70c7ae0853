//! `headwater registry serve`: serves until it is told to stop, then lets what is under way end.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;

use super::load;
use crate::cli::{Failure, asked_to_stop, runtime, show};
use crate::platform::clock::Clock;
use crate::registry::{self, RegistryConfig};

#[derive(clap::Args)]
#[command(after_help = "Example: headwater registry serve --dir ./registry --listen 127.0.0.1:8480")]
pub(super) struct Args {
    /// The registry's folder
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The address to listen on, instead of the one in registry.toml
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let mut settings = load(&args.dir)?;
    settings.listen = args.listen.unwrap_or(settings.listen);
    runtime()?.block_on(async move {
        let address = settings.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| Failure::usage(format!("cannot listen on {address}: {}", error.kind())))?;
        let accepted: Vec<&str> = settings.accept.iter().map(|accept| accept.model.as_str()).collect();
        show::note(&format!(
            "registry: data {}, log {}, accepts {}",
            settings.data.display(),
            settings.log_origin,
            accepted.join(", ")
        ));
        let clock = Clock::system();
        let serving = registry::serve(RegistryConfig { settings, clock }, listener)
            .await
            .map_err(|error| Failure::ours(&error))?;
        show::answer(serving.base_url());
        asked_to_stop().await?;
        show::note("registry: stopping");
        serving.stop().await.map_err(|error| Failure::ours(&error))
    })
}
