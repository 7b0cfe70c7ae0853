//! The body of an export file: read from the data set, filtered and compressed while it is sent, a few 64 KiB in memory.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::{mpsc, watch};

use super::super::world::World;
use super::plan::Plan;

const CHUNK_BYTES: usize = 64 * 1024;

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// Half of the resources and half a line more, then the end.
    Truncated,
    /// The same, then nothing for ever.
    Stalled,
}

enum Part {
    Bytes(Bytes),
    Stall,
    Failed,
}

/// A file's resources as a body.
pub(super) fn file(world: Arc<World>, plan: Arc<Plan>, piece: usize, gzip: bool, ending: Ending, stopped: watch::Receiver<bool>) -> Body {
    streamed(gzip, ending, stopped, move |sink| {
        let piece = &plan.pieces[piece];
        let cut = (ending != Ending::Whole).then_some(piece.count / 2);
        let mut sent = 0;
        let mut result = Ok(());
        let scanned = world.scan(&piece.kind, piece.start, &mut |entry| {
            if !plan.filter.lets_through(&piece.kind, &entry) {
                return ControlFlow::Continue(());
            }
            if cut == Some(sent) {
                result = sink.write_all(&entry.line[..entry.line.len() / 2]);
                return ControlFlow::Break(());
            }
            result = sink.write_all(entry.line).and_then(|()| sink.write_all(b"\n"));
            sent += 1;
            if result.is_err() || sent == piece.count {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        scanned.map_err(io::Error::other).and(result)
    })
}

/// The deletions as transaction Bundles, one a line.
pub(super) fn deletions(plan: Arc<Plan>, gzip: bool, stopped: watch::Receiver<bool>) -> Body {
    streamed(gzip, Ending::Whole, stopped, move |sink| {
        for keys in &plan.deleted {
            let entries: Vec<_> = keys
                .iter()
                .map(|key| serde_json::json!({ "request": { "method": "DELETE", "url": key } }))
                .collect();
            let bundle = serde_json::json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
            writeln!(sink, "{bundle}")?;
        }
        Ok(())
    })
}

/// Runs `write` on a thread of its own; what it writes is the body.
fn streamed(
    gzip: bool,
    ending: Ending,
    stopped: watch::Receiver<bool>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Body {
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let failed = sender.clone();
        let outcome = if gzip {
            let mut encoder = GzEncoder::new(Chunks::new(sender), Compression::fast());
            write(&mut encoder).and_then(|()| match ending {
                Ending::Whole => encoder.finish()?.end(None),
                Ending::Truncated | Ending::Stalled => {
                    encoder.flush()?;
                    let outcome = encoder.get_mut().end(Some(ending));
                    // The encoder writes its trailer when it is dropped; nobody listens any more.
                    encoder.get_mut().closed = true;
                    outcome
                }
            })
        } else {
            let mut chunks = Chunks::new(sender);
            write(&mut chunks).and_then(|()| chunks.end(Some(ending)))
        };
        if outcome.is_err() {
            // If the reader has gone, nobody needs to know.
            let _ = failed.blocking_send(Part::Failed);
        }
    });
    let parts = futures_util::stream::unfold((receiver, stopped), |(mut receiver, mut stopped)| async move {
        let bytes = match receiver.recv().await? {
            Part::Bytes(bytes) => Ok(bytes),
            Part::Failed => Err(io::Error::other("the file could not be read to its end")),
            Part::Stall => {
                // Ends when the EHR stops or the client goes away, whichever is first.
                let _ = stopped.wait_for(|stop| *stop).await;
                Err(io::Error::other("stalled"))
            }
        };
        Some((bytes, (receiver, stopped)))
    });
    Body::from_stream(parts)
}

/// Gathers what is written into chunks for the reader.
struct Chunks {
    sender: mpsc::Sender<Part>,
    buffer: Vec<u8>,
    closed: bool,
}

impl Chunks {
    fn new(sender: mpsc::Sender<Part>) -> Self {
        Self {
            sender,
            buffer: Vec::with_capacity(CHUNK_BYTES),
            closed: false,
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
        self.sender
            .blocking_send(Part::Bytes(bytes.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn end(&mut self, ending: Option<Ending>) -> io::Result<()> {
        self.send()?;
        match ending {
            Some(Ending::Stalled) => self.sender.blocking_send(Part::Stall).map_err(|_| io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.closed {
            self.buffer.extend_from_slice(bytes);
            if self.buffer.len() >= CHUNK_BYTES {
                self.send()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
