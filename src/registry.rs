//! The registry as one service: what sites submit to, the log's files for everyone, the console for operators.
//! Puts the parts on one router and runs them; decides nothing itself.

mod init;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use init::{InitError, NewRegistry, init};

use crate::console;
use crate::platform::clock::Clock;
use crate::receive::{self, OpenError, Registry, Settings};

/// A registry to be served.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    pub settings: Settings,
    pub clock: Clock,
}

/// Why a registry does not start.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the address listened on cannot be told")]
    Address(#[source] std::io::Error),
    #[error("the registry's service broke off")]
    Serve(#[source] std::io::Error),
    #[error("a task of the registry broke off")]
    BrokeOff,
}

/// A registry that serves until it is stopped.
pub struct Handle {
    registry: Arc<Registry>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
    working: JoinHandle<()>,
}

impl Handle {
    /// The address sites and operators use, without a slash at its end.
    pub fn base_url(&self) -> &str {
        self.registry.base()
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Lets requests under way end, breaks off a submission under way (it begins again at the next start), and returns.
    /// # Errors: the service had broken off before.
    pub async fn stop(self) -> Result<(), RegistryError> {
        self.registry.stop();
        let _ = self.stop.send(true);
        self.working.await.map_err(|_| RegistryError::BrokeOff)?;
        self.serving
            .await
            .map_err(|_| RegistryError::BrokeOff)?
            .map_err(RegistryError::Serve)
    }
}

/// Makes a prepared registry's folders and key where they are missing, opens it and serves it on `listener`.
/// Without a `base_url` in the settings, sites know it by the address listened on.
/// # Errors: what keeps it from opening.
pub async fn serve(config: RegistryConfig, listener: TcpListener) -> Result<Handle, RegistryError> {
    let base = match &config.settings.base_url {
        Some(base) => base.clone(),
        None => format!("http://{}", listener.local_addr().map_err(RegistryError::Address)?),
    };
    let opened = tokio::task::spawn_blocking(move || {
        receive::prepare(&config.settings)?;
        Registry::open(&config.settings, &base, config.clock)
    });
    let registry = opened.await.map_err(|_| RegistryError::BrokeOff)??;
    let (stop, mut stopped) = watch::channel(false);
    let service = axum::serve(listener, router(Arc::clone(&registry))).with_graceful_shutdown(async move {
        // A sender that is gone stops the service as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    let serving = tokio::spawn(async move { service.await });
    let working = tokio::spawn(Arc::clone(&registry).work());
    tracing::info!(base = registry.base(), "registry serves at {}", registry.base());
    Ok(Handle {
        registry,
        stop,
        serving,
        working,
    })
}

/// Everything the registry answers.
pub fn router(registry: Arc<Registry>) -> Router {
    let log = Router::new()
        .route("/log/{*path}", get(log_file))
        .route("/health", get(|| async { "ok\n" }))
        .with_state(Arc::clone(&registry));
    let console = console::router(Arc::clone(&registry));
    receive::router(registry).merge(console).merge(log)
}

/// One of the log's files, as `audit` published it.
async fn log_file(State(registry): State<Arc<Registry>>, Path(path): Path<String>) -> Response {
    let Some(kind) = log_path_kind(&path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if path == "checkpoint" {
        // The log may have grown by an operator's command, which leaves publishing to us.
        registry.wake();
    }
    let file: PathBuf = registry.log_dir().join(&path);
    let Ok(bytes) = tokio::fs::read(file).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (content, cache) = match kind {
        Kind::Text => ("text/plain; charset=utf-8", "no-cache"),
        Kind::Tile => ("application/octet-stream", "public, max-age=31536000, immutable"),
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content)),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
    ];
    (headers, bytes).into_response()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Tile,
}

/// What file of a log this path names; `None` when it names none.
/// C2SP tlog-tiles: `checkpoint`, `tile/<L>/<N>[.p/<W>]`, `tile/entries/<N>[.p/<W>]`; and our `vkey`.
fn log_path_kind(path: &str) -> Option<Kind> {
    if matches!(path, "checkpoint" | "vkey") {
        return Some(Kind::Text);
    }
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (level, mut rest) = path.strip_prefix("tile/")?.split_once('/')?;
    if level != "entries" && !digits(level, 2) {
        return None;
    }
    while let Some(group) = rest.strip_prefix('x') {
        let (group, after) = group.split_once('/')?;
        if group.len() != 3 || !digits(group, 3) {
            return None;
        }
        rest = after;
    }
    let (last, width) = match rest.split_once(".p/") {
        Some((last, width)) => (last, Some(width)),
        None => (rest, None),
    };
    let fits = last.len() == 3 && digits(last, 3) && width.is_none_or(|width| digits(width, 3));
    fits.then_some(Kind::Tile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_logs_own_files_are_served() {
        for tile in ["tile/0/000", "tile/entries/x001/x234/067.p/8", "tile/1/000.p/1", "tile/63/x001/000"] {
            assert_eq!(log_path_kind(tile), Some(Kind::Tile), "{tile}");
        }
        assert_eq!(log_path_kind("checkpoint"), Some(Kind::Text));
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0/",
            "tile/0/00",
            "tile/0/../../registry.db",
            "../registry.db",
            "tile/0/000/../../../keys/log.seed",
            "tile/entries/000.p/",
            "tile/abc/000",
            "tile/0/x1/000",
            "tile/0/000.p/1/2",
            "tile/0/000.unfinished",
            "checkpoint.unfinished",
        ] {
            assert_eq!(log_path_kind(bad), None, "{bad}");
        }
    }
}
