//! A simulated EHR on loopback: any folder of FHIR NDJSON, served over SMART Backend Services and Bulk Data 2.0.
//!
//! It refuses what a strict EHR refuses (no `Prefer: respond-async`, a used `jti`, an expired token, an unknown group),
//! counts what it was asked, and on order misbehaves in named, counted ways.
//! Jobs, tokens and clients live in memory: after a restart a poll answers 404, as in life.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::day::Day;
use super::world::World;

mod access;
mod asked;
mod associated;
mod body;
mod capability;
mod elsewhere;
mod export;
mod fault;
mod file;
mod groups;
mod index;
mod jobs;
mod kick_off;
mod listing;
mod manifest;
mod misconfiguration;
mod moment;
mod named;
mod plan;
mod query;
mod reply;
mod routes;
mod search;
mod settings;
mod shape;
mod shared;
mod smart;
mod terms;
mod vendor;
mod wanted;

pub use access::RegistrationError;
pub use fault::{Fault, FaultOrder};
pub use misconfiguration::Misconfiguration;
pub use settings::{EhrError, EhrSettings, KickOffBy};
pub use shared::{Call, Seen};
pub use vendor::Vendor;

use shared::Shared;

/// A running EHR. Dropped, it stops.
pub struct Ehr {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

/// Starts the EHR; it answers from the moment this returns.
/// # Errors: the folder holds no resources, or the address cannot be had.
pub async fn serve(settings: EhrSettings) -> Result<Ehr, EhrError> {
    if !settings.listen.ip().is_loopback() {
        return Err(EhrError::NotLoopback(settings.listen));
    }
    let world = World::open(&settings.data)?;
    let (listener, address) = listen(settings.listen).await?;
    let (other, elsewhere) = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let (stop, stopped) = watch::channel(false);
    let (origin, elsewhere) = (format!("http://{address}"), format!("http://{elsewhere}"));
    let shared = Arc::new(Shared::new(settings, world, &origin, &elsewhere, stopped.clone())?);
    let servers = vec![
        answer(listener, routes::router(Arc::clone(&shared)), stopped.clone()),
        answer(other, elsewhere::router(Arc::clone(&shared)), stopped),
    ];
    Ok(Ehr { shared, stop, servers })
}

async fn listen(on: SocketAddr) -> Result<(TcpListener, SocketAddr), EhrError> {
    let listening = |source| EhrError::Listen { on, source };
    let listener = TcpListener::bind(on).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    Ok((listener, address))
}

/// Answers until it is asked to stop.
fn answer(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let asked_to_stop = async move {
            // The sender gone is a wish to stop, too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        // A listener that fails leaves nothing to serve; whoever talks to it will notice.
        let _ = axum::serve(listener, router).with_graceful_shutdown(asked_to_stop).await;
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

    /// The byte at which the fault `reset` breaks a file's connection, from now on.
    pub fn reset_at(&self, byte: u64) {
        *shared::lock(&self.shared.reset_at) = Some(byte);
    }

    /// Orders more faults.
    pub fn order(&self, order: FaultOrder) {
        self.shared.faults.order(order);
    }

    /// Sets something up wrongly, from now on.
    pub fn plant(&self, misconfiguration: Misconfiguration) {
        self.shared.planted.set(misconfiguration, true);
    }

    /// Sets it up rightly again.
    pub fn mend(&self, misconfiguration: Misconfiguration) {
        self.shared.planted.set(misconfiguration, false);
    }

    /// How often an answer was another because of a misconfiguration.
    pub fn fired_misconfiguration(&self, misconfiguration: Misconfiguration) -> u32 {
        self.shared.planted.shown(misconfiguration)
    }

    /// Another origin, `http://127.0.0.1:PORT`, at which whoever brings a token is refused and noted.
    pub fn elsewhere_url(&self) -> &str {
        &self.shared.elsewhere
    }

    /// Stops listening, ends stalled answers and waits for the others to end.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        for server in self.servers.drain(..) {
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
