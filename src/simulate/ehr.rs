//! A simulated EHR on loopback: any folder of FHIR NDJSON, served over SMART Backend Services and Bulk Data 2.0.
//!
//! It refuses what a strict EHR refuses (no `Prefer: respond-async`, a used `jti`, an expired token, an unknown group),
//! counts what it was asked, and on order misbehaves in named, counted ways.
//! Jobs, tokens and clients live in memory: after a restart a poll answers 404, as in life.

use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::day::Day;
use super::world::World;

mod access;
mod body;
mod fault;
mod jobs;
mod kick_off;
mod plan;
mod reply;
mod routes;
mod settings;
mod shared;
mod vendor;

pub use access::RegistrationError;
pub use fault::{Fault, FaultOrder};
pub use settings::{EhrError, EhrSettings};
pub use shared::{Call, Seen};
pub use vendor::Vendor;

use shared::Shared;

/// A running EHR. Dropped, it stops.
pub struct Ehr {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
}

/// Starts the EHR; it answers from the moment this returns.
/// # Errors: the folder holds no resources, or the address cannot be had.
pub async fn serve(settings: EhrSettings) -> Result<Ehr, EhrError> {
    if !settings.listen.ip().is_loopback() {
        return Err(EhrError::NotLoopback(settings.listen));
    }
    let world = World::open(&settings.data)?;
    let listening = |source| EhrError::Listen {
        on: settings.listen,
        source,
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    let (stop, stopped) = watch::channel(false);
    let shared = Arc::new(Shared::new(settings, world, &format!("http://{address}"), stopped.clone())?);
    let router = routes::router(Arc::clone(&shared));
    let server = tokio::spawn(async move {
        let mut stopped = stopped;
        let asked_to_stop = async move {
            // The sender gone is a wish to stop, too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        // A listener that fails leaves nothing to serve; whoever talks to it will notice.
        let _ = axum::serve(listener, router).with_graceful_shutdown(asked_to_stop).await;
    });
    Ok(Ehr {
        shared,
        stop,
        server: Some(server),
    })
}

impl Ehr {
    /// The FHIR base: `http://127.0.0.1:PORT/fhir`.
    pub fn base_url(&self) -> &str {
        self.shared.base()
    }

    /// Where a client registers itself: `POST {"jwks": …}` or `{"jwks_uri": …}`.
    pub fn registration_url(&self) -> String {
        self.shared.registration_url()
    }

    /// Registers a client by its public JWK; the client id. The same key always gets the same id.
    pub fn register(&self, public_jwk: Value) -> Result<String, RegistrationError> {
        self.shared
            .access
            .register(&serde_json::json!({ "jwks": { "keys": [public_jwk] } }))
    }

    /// Lets a day pass over the data: exports begun from now on see it.
    pub async fn advance_day(&self) -> Result<Day, EhrError> {
        self.shared.advance_day().await
    }

    /// Where a day can be made to pass over HTTP: an empty POST.
    pub fn next_day_url(&self) -> String {
        self.shared.next_day_url()
    }

    /// The data as it stands now.
    pub fn world(&self) -> Arc<World> {
        self.shared.world()
    }

    /// How often something was asked.
    pub fn calls(&self, call: Call) -> u64 {
        self.shared.log.calls(call)
    }

    /// The requests so far, oldest first, at most 100,000.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.log.seen()
    }

    /// How often a fault has happened.
    pub fn fired(&self, fault: Fault) -> u32 {
        self.shared.faults.fired(fault)
    }

    /// Orders more faults.
    pub fn order(&self, order: FaultOrder) {
        self.shared.faults.order(order);
    }

    /// Stops listening, ends stalled answers and waits for the others to end.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if let Some(server) = self.server.take() {
            // A server that panicked is as stopped as one that ended.
            let _ = server.await;
        }
    }
}

impl Drop for Ehr {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
