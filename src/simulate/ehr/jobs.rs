//! Export jobs: begun by a kick-off, prepared in the background, polled, cancelled. In memory only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::edit::instant;
use super::super::world::World;
use super::plan::{Plan, Wanted};
use super::shared::lock;
use crate::platform::random;

/// One export.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) client: String,
    pub(super) world: Arc<World>,
    request: String,
    transaction_time: Timestamp,
    state: Mutex<State>,
    polls: AtomicU32,
    /// Which addresses of the files are good: a manifest read again after one ran out has new ones.
    generation: AtomicU32,
}

enum State {
    Preparing,
    Ready(Arc<Plan>),
    Failed,
}

/// What a poll finds.
pub(super) enum Progress {
    /// So many polls of so many.
    Working(u32, u32),
    Ready(Arc<Plan>),
    Failed,
}

impl Job {
    pub(super) fn progress(&self, polls_before_ready: u32) -> Progress {
        let polls = self.polls.fetch_add(1, Ordering::SeqCst);
        match &*lock(&self.state) {
            State::Failed => Progress::Failed,
            State::Ready(plan) if polls >= polls_before_ready => Progress::Ready(Arc::clone(plan)),
            _ => Progress::Working(polls.min(polls_before_ready), polls_before_ready),
        }
    }

    pub(super) fn plan(&self) -> Option<Arc<Plan>> {
        match &*lock(&self.state) {
            State::Ready(plan) => Some(Arc::clone(plan)),
            State::Preparing | State::Failed => None,
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Lets all addresses told so far run out.
    pub(super) fn expire(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Bulk Data 2.0, Response - Complete Status.
    pub(super) fn manifest(&self, plan: &Plan, base: &str) -> Value {
        let files = format!("{base}/export-file/{}/{}", self.id, self.generation());
        let output: Vec<Value> = plan
            .pieces
            .iter()
            .enumerate()
            .map(|(number, piece)| json!({ "type": piece.kind, "url": format!("{files}/{number}"), "count": piece.count }))
            .collect();
        let mut manifest = json!({
            "transactionTime": instant(self.transaction_time),
            "request": self.request,
            "requiresAccessToken": true,
            "output": output,
            "error": [],
        });
        if !plan.deleted.is_empty() {
            manifest["deleted"] = json!([{ "type": "Bundle", "url": format!("{files}/deleted"), "count": plan.deleted.len() }]);
        }
        manifest
    }
}

/// What a new job is about.
pub(super) struct Order {
    pub(super) client: String,
    pub(super) request: String,
    pub(super) wanted: Wanted,
    pub(super) transaction_time: Timestamp,
    pub(super) loaded: Timestamp,
    pub(super) file_lines: u64,
}

/// All jobs.
#[derive(Default)]
pub(super) struct Jobs(Mutex<HashMap<String, Arc<Job>>>);

impl Jobs {
    /// Begins a job; it is prepared on a thread of its own.
    pub(super) fn begin(&self, world: Arc<World>, order: Order) -> Arc<Job> {
        let job = Arc::new(Job {
            id: random::hex(12),
            client: order.client,
            world: Arc::clone(&world),
            request: order.request,
            transaction_time: order.transaction_time,
            state: Mutex::new(State::Preparing),
            polls: AtomicU32::new(0),
            generation: AtomicU32::new(0),
        });
        lock(&self.0).insert(job.id.clone(), Arc::clone(&job));
        let preparing = Arc::clone(&job);
        tokio::task::spawn_blocking(move || {
            let plan = Plan::new(&world, &order.wanted, order.loaded, order.file_lines);
            *lock(&preparing.state) = match plan {
                Ok(plan) => State::Ready(Arc::new(plan)),
                Err(_) => State::Failed,
            };
        });
        job
    }

    /// The client's job of that id; another client's is as good as none.
    pub(super) fn find(&self, id: &str, client: &str) -> Option<Arc<Job>> {
        lock(&self.0).get(id).filter(|job| job.client == client).cloned()
    }

    pub(super) fn has_any(&self, client: &str) -> bool {
        lock(&self.0).values().any(|job| job.client == client)
    }

    pub(super) fn remove(&self, id: &str) {
        lock(&self.0).remove(id);
    }
}
