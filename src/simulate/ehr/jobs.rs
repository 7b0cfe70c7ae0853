//! Export jobs: begun by a kick-off, prepared in the background, polled, cancelled. In memory only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::index::Snapshot;
use super::plan::Plan;
use super::shared::lock;
use super::wanted::Wanted;
use crate::platform::random;

/// One export.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) order: Order,
    state: Mutex<State>,
    polls: AtomicU32,
    /// Which addresses of the files are good, and until when: a manifest read after they ran out has new ones.
    addresses: Mutex<(u32, Option<Timestamp>)>,
    /// Some resources could not be exported, on order.
    pub(super) has_errors: AtomicBool,
    /// Manifest pages without end, on order.
    pub(super) endless: AtomicBool,
}

enum State {
    Preparing,
    Ready(Arc<Plan>),
    Failed,
}

/// What a poll finds.
pub(super) enum Progress {
    /// So many polls of so many; and what is ready so far, where the client may have it.
    Working(u32, u32, Option<Arc<Plan>>),
    Ready(Arc<Plan>),
    Failed,
}

/// What a new job is about.
pub(super) struct Order {
    pub(super) client: String,
    pub(super) request: String,
    pub(super) wanted: Wanted,
    pub(super) transaction_time: Timestamp,
    pub(super) file_lines: u64,
    /// The job's state is told in `X-Export-Status`, apart from the answer's own.
    pub(super) separate_status: bool,
    /// Give nothing, on order.
    pub(super) empty: bool,
    /// Tell no deletions, on order.
    pub(super) deletions_untold: bool,
}

impl Job {
    /// Counts a poll. `again`: it is answered as if the job were not done.
    pub(super) fn progress(&self, polls_before_ready: u32, again: bool) -> Progress {
        let polls = self.polls.fetch_add(1, Ordering::SeqCst);
        match &*lock(&self.state) {
            State::Failed => Progress::Failed,
            State::Ready(plan) if polls >= polls_before_ready && !again => Progress::Ready(Arc::clone(plan)),
            state => {
                let ready = match state {
                    State::Ready(plan) if self.order.wanted.partial && polls > 0 => Some(Arc::clone(plan)),
                    _ => None,
                };
                Progress::Working(polls.min(polls_before_ready), polls_before_ready, ready)
            }
        }
    }

    /// Manifest pages that may be had after so many polls.
    pub(super) fn pages_ready(&self, all: usize, polls_before_ready: u32) -> usize {
        let polls = self.polls.load(Ordering::SeqCst);
        if polls > polls_before_ready {
            all
        } else {
            all.min(polls.saturating_sub(1) as usize)
        }
    }

    pub(super) fn plan(&self) -> Option<Arc<Plan>> {
        match &*lock(&self.state) {
            State::Ready(plan) => Some(Arc::clone(plan)),
            State::Preparing | State::Failed => None,
        }
    }

    /// The number that stands in good addresses, and until when they are; new ones if the old ran out.
    pub(super) fn addresses(&self, now: Timestamp, until: Timestamp) -> (u32, Timestamp) {
        let mut addresses = lock(&self.addresses);
        if addresses.1.is_some_and(|until| until <= now) {
            *addresses = (addresses.0 + 1, None);
        }
        (addresses.0, *addresses.1.get_or_insert(until))
    }

    pub(super) fn is_good(&self, number: u32, now: Timestamp) -> bool {
        let addresses = lock(&self.addresses);
        addresses.0 == number && addresses.1.is_none_or(|until| now < until)
    }

    /// Lets all addresses told so far run out.
    pub(super) fn expire(&self) {
        let mut addresses = lock(&self.addresses);
        *addresses = (addresses.0 + 1, None);
    }
}

/// All jobs.
#[derive(Default)]
pub(super) struct Jobs(Mutex<HashMap<String, Arc<Job>>>);

impl Jobs {
    /// Begins a job; it is prepared on a thread of its own.
    pub(super) fn begin(&self, snapshot: Arc<Snapshot>, order: Order, loaded: Timestamp) -> Arc<Job> {
        let job = Arc::new(Job {
            id: random::hex(12),
            snapshot,
            order,
            state: Mutex::new(State::Preparing),
            polls: AtomicU32::new(0),
            addresses: Mutex::new((0, None)),
            has_errors: AtomicBool::new(false),
            endless: AtomicBool::new(false),
        });
        lock(&self.0).insert(job.id.clone(), Arc::clone(&job));
        let preparing = Arc::clone(&job);
        tokio::task::spawn_blocking(move || {
            let order = &preparing.order;
            let plan = Plan::new(&preparing.snapshot, &order.wanted, loaded, order.file_lines);
            let state = match plan {
                Ok(mut plan) => {
                    if order.empty {
                        plan.pieces.clear();
                    }
                    if order.deletions_untold {
                        plan.deleted.clear();
                    }
                    State::Ready(Arc::new(plan))
                }
                Err(_) => State::Failed,
            };
            *lock(&preparing.state) = state;
        });
        job
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Job>> {
        lock(&self.0).get(id).cloned()
    }

    /// The client's job of that id; another client's is as good as none.
    pub(super) fn find(&self, id: &str, client: &str) -> Option<Arc<Job>> {
        self.get(id).filter(|job| job.order.client == client)
    }

    pub(super) fn has_any(&self, client: &str) -> bool {
        lock(&self.0).values().any(|job| job.order.client == client)
    }

    pub(super) fn remove(&self, id: &str) {
        lock(&self.0).remove(id);
    }
}
