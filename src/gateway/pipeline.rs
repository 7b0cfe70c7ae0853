//! N workers, one order: blocks are fetched one after the other, worked on in parallel and handed on in the order they
//! were fetched, so that the result does not depend on the number of threads. With one thread, one thread does it all.
//! At most a few blocks a worker are held: memory does not grow with the input.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many finished blocks per worker may wait for a slower one before them.
const AHEAD: u64 = 4;

struct Source<N> {
    next: N,
    sequence: u64,
    ended: bool,
}

struct Sink<K, R, E> {
    put: K,
    waiting: BTreeMap<u64, R>,
    next: u64,
    failed: bool,
    error: Option<E>,
}

/// Fetches blocks with `next`, works on them with a worker made by `worker` (one per thread), hands results to `put` in order.
/// # Errors: the first error of any of the three; the others stop.
pub fn run<B, R, E, W>(
    threads: usize,
    next: impl FnMut() -> Result<Option<B>, E> + Send,
    worker: impl Fn() -> Result<W, E> + Sync,
    put: impl FnMut(R) -> Result<(), E> + Send,
) -> Result<(), E>
where
    B: Send,
    R: Send,
    E: Send,
    W: FnMut(B) -> Result<R, E>,
{
    let threads = threads.max(1);
    let source = Mutex::new(Source {
        next,
        sequence: 0,
        ended: false,
    });
    let sink = Mutex::new(Sink {
        put,
        waiting: BTreeMap::new(),
        next: 0,
        failed: false,
        error: None,
    });
    let turn = Condvar::new();
    let window = AHEAD * threads as u64;
    let work = || {
        let _guard = OnPanic { sink: &sink, turn: &turn };
        let mut worker = match worker() {
            Ok(worker) => worker,
            Err(error) => return fail(&sink, &turn, error),
        };
        loop {
            let (sequence, block) = {
                let mut source = lock(&source);
                if source.ended || lock(&sink).failed {
                    return;
                }
                match (source.next)() {
                    Ok(Some(block)) => {
                        source.sequence += 1;
                        (source.sequence - 1, block)
                    }
                    Ok(None) => {
                        source.ended = true;
                        return;
                    }
                    Err(error) => {
                        source.ended = true;
                        return fail(&sink, &turn, error);
                    }
                }
            };
            let result = match worker(block) {
                Ok(result) => result,
                Err(error) => return fail(&sink, &turn, error),
            };
            let mut sink = lock(&sink);
            while !sink.failed && sequence >= sink.next + window {
                sink = turn.wait(sink).unwrap_or_else(PoisonError::into_inner);
            }
            sink.waiting.insert(sequence, result);
            while !sink.failed {
                let at = sink.next;
                let Some(result) = sink.waiting.remove(&at) else { break };
                if let Err(error) = (sink.put)(result) {
                    sink.failed = true;
                    sink.error.get_or_insert(error);
                }
                sink.next += 1;
            }
            turn.notify_all();
            if sink.failed {
                return;
            }
        }
    };
    if threads == 1 {
        work();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
    }
    let sink = sink.into_inner().unwrap_or_else(PoisonError::into_inner);
    sink.error.map_or(Ok(()), Err)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fail<K, R, E>(sink: &Mutex<Sink<K, R, E>>, turn: &Condvar, error: E) {
    let mut sink = lock(sink);
    sink.failed = true;
    sink.error.get_or_insert(error);
    turn.notify_all();
}

/// A worker that panics must not leave the others waiting for its block.
struct OnPanic<'a, K, R, E> {
    sink: &'a Mutex<Sink<K, R, E>>,
    turn: &'a Condvar,
}

impl<K, R, E> Drop for OnPanic<'_, K, R, E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(self.sink).failed = true;
            self.turn.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(threads: usize, n: u64) -> Result<Vec<u64>, String> {
        let mut at = 0;
        let mut out = Vec::new();
        run(
            threads,
            || {
                at += 1;
                Ok((at <= n).then_some(at))
            },
            || {
                Ok(|block: u64| {
                    if block == 77 {
                        Err("block 77".to_owned())
                    } else {
                        Ok(block * block)
                    }
                })
            },
            |result| {
                out.push(result);
                Ok(())
            },
        )?;
        Ok(out)
    }

    #[test]
    fn results_come_in_the_order_of_their_blocks_for_any_number_of_threads() {
        let one = squares(1, 76).expect("no block fails");
        assert_eq!(one.len(), 76);
        for threads in [2, 3, 8] {
            assert_eq!(squares(threads, 76).expect("no block fails"), one);
        }
    }

    #[test]
    fn the_first_error_stops_every_worker_and_is_returned() {
        for threads in [1, 4] {
            assert_eq!(squares(threads, 100_000), Err("block 77".to_owned()));
        }
    }

    #[test]
    fn a_panicking_worker_does_not_leave_the_others_waiting() {
        let caught = std::panic::catch_unwind(|| {
            let mut at = 0;
            run(
                3,
                || {
                    at += 1;
                    Ok::<_, ()>((at < 1000).then_some(at))
                },
                || {
                    Ok(|block: u64| {
                        assert!(block != 5, "planted");
                        Ok(block)
                    })
                },
                |_| Ok(()),
            )
        });
        assert!(caught.is_err());
    }
}
